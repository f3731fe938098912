internal import ImageStore
internal import LinuxKernel

/// Works on an image store from a process of its own, which tests can kill, and measures.
@main enum ImageStoreProbe {
    static let usage = """
        usage: ImageStoreProbe STORE COMMAND
          import SOURCE [NAME]
          ls | check | prune
          ready IMAGE        how long an image takes to be ready
          mount IMAGE COUNT  makes so many writable roots, says where, ends with its input
        """

    static func main() {
        let words = Array(CommandLine.arguments.dropFirst())
        guard words.count >= 2 else {
            StandardStream.error.write(usage + "\n")
            ThisProcess.exit(64)
        }
        do throws(ImageError) {
            try run(words[1], Array(words.dropFirst(2)), in: ImageStore(words[0]))
        } catch {
            StandardStream.error.write("\(error.code.rawValue): \(error)\n")
            ThisProcess.exit(1)
        }
    }

    private static func run(
        _ command: String, _ arguments: [String], in store: ImageStore
    ) throws(ImageError) {
        switch (command, arguments.count) {
        case ("import", 1...2): try importImage(arguments, into: store)
        case ("ls", 0):
            for image in try store.images() {
                print(
                    image.record.identifier, image.names.joined(separator: ","), image.bytes,
                    image.sharedBytes)
            }
        case ("check", 0):
            let check = try store.check()
            for problem in check.problems { print(problem.kind.rawValue, problem.message) }
            print("\(check.layers) layers, \(check.bytes) bytes")
        case ("prune", 0): print(try store.prune(includingNamed: true))
        case ("ready", 1): try ready(arguments[0], in: store)
        case ("mount", 2): try mount(arguments[0], Int(arguments[1]) ?? 1, in: store)
        default:
            StandardStream.error.write(usage + "\n")
            ThisProcess.exit(64)
        }
    }

    private static func importImage(
        _ arguments: [String], into store: ImageStore
    ) throws(ImageError) {
        var options = ImportOptions()
        if arguments.count == 2 { options.name = arguments[1] }
        let start = MonotonicClock.nanoseconds
        let result = try store.importImage(from: arguments[0], options: options)
        let milliseconds = (MonotonicClock.nanoseconds - start) / 1_000_000
        print(
            "\(result.image.identifier) made \(result.layersMade) present"
                + " \(result.layersPresent) in \(milliseconds) ms")
    }

    /// Of 200 times: with nothing mounted, with the image mounted, a clone of it as a read-only
    /// root, and a writable root as a sandbox gets it.
    private static func ready(_ name: String, in store: ImageStore) throws(ImageError) {
        let image = try store.resolve(name)
        var times: [[UInt64]] = [[], [], [], []]
        // Taking a mount apart takes longer than making it, and no start waits for it.
        var kept: [Root] = []
        for _ in 0..<200 {
            let mounts = ImageMounts(store)
            var start = MonotonicClock.nanoseconds
            func reached(_ place: Int) {
                let now = MonotonicClock.nanoseconds
                times[place].append(now - start)
                start = now
            }
            _ = try mounts.tree(of: image)
            reached(0)
            let tree = try mounts.tree(of: image)
            reached(1)
            kept.append(Root(clone(of: tree)))
            let lookup = times[1].last ?? 0
            times[2].append(lookup + MonotonicClock.nanoseconds - start)
            start = MonotonicClock.nanoseconds
            kept.append(try writable(image, mounts))
            times[3].append(MonotonicClock.nanoseconds - start)
        }
        let names = ["nothing mounted", "looked up", "read-only root", "writable root"]
        for (what, values) in zip(names, times) {
            let sorted = values.sorted()
            print("\(what)|\(sorted[100] / 1000)|\(sorted[198] / 1000)")
        }
        withExtendedLifetime(kept) {}
    }

    private static func mount(
        _ name: String, _ count: Int, in store: ImageStore
    ) throws(ImageError) {
        let (mounts, image) = (ImageMounts(store), try store.resolve(name))
        var roots: [Root] = []
        for _ in 0..<count { roots.append(try writable(image, mounts)) }
        let paths = roots.map { "/proc/\(ThisProcess.identifier)/fd/\($0.descriptor.rawValue)\n" }
        do throws(SystemCallError) {
            try Files.open("/proc/self/fd/1", .writeOnly).writeAll(Array(paths.joined().utf8))
        } catch {
            fail(error)
        }
        while readLine() != nil {}
        withExtendedLifetime(roots) {}
    }

    private final class Root {
        let descriptor: Descriptor

        init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
    }

    private static func writable(
        _ image: Digest, _ mounts: ImageMounts
    ) throws(ImageError) -> Root {
        Root(try mounts.writableTree(of: image, scratch: .memory(bytes: 64 << 20)))
    }

    private static func clone(of image: MountedImage) -> Descriptor {
        do throws(SystemCallError) {
            return try Mounts.detachedClone(of: image.tree, [.readOnly], subject: "image")
        } catch {
            fail(error)
        }
    }

    private static func fail(_ error: SystemCallError) -> Never {
        print("\(error)")
        ThisProcess.exit(1)
    }
}
