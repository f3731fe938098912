internal import ImageStore
internal import LinuxKernel

/// Works on an image store from a process of its own, which tests can kill, and measures.
@main enum ImageStoreProbe {
    static let usage = """
        usage: ImageStoreProbe STORE COMMAND
          import SOURCE [NAME]
          ls | check | prune
          ready IMAGE        how long an image takes to be ready
          mount IMAGE COUNT  mounts it and clones it, says where, ends with its input
        """

    static func main() {
        let words = Array(CommandLine.arguments.dropFirst())
        guard words.count >= 2 else {
            print(usage)
            ThisProcess.exit(64)
        }
        do throws(ImageError) {
            try run(words[1], Array(words.dropFirst(2)), in: ImageStore(words[0]))
        } catch {
            print("\(error.code.rawValue): \(error)")
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
            print(usage)
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

    /// Of 200 times: with nothing mounted, when it is there, and a sandbox's clone of it.
    private static func ready(_ name: String, in store: ImageStore) throws(ImageError) {
        let image = try store.resolve(name)
        var cold: [UInt64] = []
        var present: [UInt64] = []
        var cloned: [UInt64] = []
        for _ in 0..<200 {
            let mounts = ImageMounts(store)
            var start = MonotonicClock.nanoseconds
            _ = try mounts.tree(of: image)
            cold.append(MonotonicClock.nanoseconds - start)
            start = MonotonicClock.nanoseconds
            let tree = try mounts.tree(of: image)
            present.append(MonotonicClock.nanoseconds - start)
            start = MonotonicClock.nanoseconds
            _ = try? Mounts.detachedClone(of: tree.tree, [.readOnly], subject: name)
            cloned.append(MonotonicClock.nanoseconds - start)
        }
        for (what, values) in [("nothing mounted", cold), ("present", present), ("clone", cloned)] {
            let sorted = values.sorted()
            print("\(what): median \(sorted[100] / 1000), p99 \(sorted[198] / 1000) µs")
        }
    }

    private static func mount(
        _ name: String, _ count: Int, in store: ImageStore
    ) throws(ImageError) {
        let image = try ImageMounts(store).tree(of: store.resolve(name))
        var clones: [Clone] = []
        for _ in 0..<count {
            guard let clone = try? Mounts.detachedClone(of: image.tree, [.readOnly], subject: name)
            else { ThisProcess.exit(1) }
            print("/proc/\(ThisProcess.identifier)/fd/\(clone.rawValue)")
            clones.append(Clone(clone))
        }
        while readLine() != nil {}
        withExtendedLifetime(clones) {}
    }

    private final class Clone {
        let descriptor: Descriptor

        init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
    }
}
