internal import LinuxKernel

/// Who owns a directory, and what they and others may do with it.
struct DirectoryAccess: Hashable {
    let mode: UInt32
    let user: UInt32
    let group: UInt32

    /// As a directory is that no entry described.
    static let standard = DirectoryAccess(mode: 0o755, user: 0, group: 0)

    init(mode: UInt32, user: UInt32, group: UInt32) {
        self.mode = mode
        self.user = user
        self.group = group
    }

    /// That of an open directory.
    init(of directory: borrowing Descriptor) throws(SystemCallError) {
        let status = try Files.status(of: directory)
        self.init(mode: status.mode, user: status.user, group: status.group)
    }

    func set(_ name: String, at tree: borrowing Descriptor) throws(SystemCallError) {
        try Files.setOwners(of: name, at: tree, user: user, group: group)
        try Files.setPermissions(of: name, at: tree, mode)
    }
}

/// Directories that have to stand above the layers of an image.
///
/// An archive may go through a directory without an entry for it: its author meant the one of the
/// layers below, owner and mode and all. Overlayfs shows those of the topmost layer, which has none
/// to show. Such directories are put above all layers, as they are below.
public struct MeantDirectories: Sendable {
    struct Directory: Hashable, Sendable {
        let path: String
        let access: DirectoryAccess
    }

    /// Each behind the one that it is in. The root is the first, if there are any.
    let directories: [Directory]

    public var isEmpty: Bool { directories.isEmpty }

    static let none = MeantDirectories()

    private init() { directories = [] }

    /// One layer, as the store has it.
    private final class Layer {
        let implicit: Set<String>
        let file: ErofsReader

        init(_ record: LayerRecord, file: String) throws(ImageError) {
            implicit = Set(record.implicitDirectories)
            self.file = try ErofsReader(file)
        }
    }

    /// - Parameter layers: the topmost first.
    init(
        _ layers: [(record: LayerRecord, file: String)]
    ) throws(ImageError) {
        guard layers.dropLast().contains(where: { !$0.record.implicitDirectories.isEmpty }) else {
            directories = []
            return
        }
        let stack = try Stack(layers)
        var meant: [String: DirectoryAccess] = [:]
        var settled: Set<String> = []
        for place in 0..<(stack.layers.count - 1) {
            for path in layers[place].record.implicitDirectories where !settled.contains(path) {
                guard try !stack.isDescribed(path, above: place),
                    let access = try stack.access(of: path, below: place)
                else { continue }
                settled.insert(path)
                if access != .standard { meant[path] = access }
            }
        }
        directories = try Self.withParents(of: meant, in: stack)
    }

    private static func withParents(
        of meant: [String: DirectoryAccess], in stack: Stack
    ) throws(ImageError) -> [Directory] {
        guard !meant.isEmpty else { return [] }
        var paths: Set<String> = ["/"]
        for path in meant.keys {
            var place = ""
            for part in path.split(separator: "/") {
                place += "/" + part
                paths.insert(place)
            }
        }
        return try paths.sorted().map { (path) throws(ImageError) in
            if let access = meant[path] { return Directory(path: path, access: access) }
            return Directory(path: path, access: try stack.shown(path))
        }
    }

    private final class Stack {
        let layers: [Layer]

        init(_ layers: [(record: LayerRecord, file: String)]) throws(ImageError) {
            self.layers = try layers.map { (layer) throws(ImageError) in
                try Layer(layer.record, file: layer.file)
            }
        }

        /// Whether a layer above has an entry for the directory.
        func isDescribed(_ path: String, above place: Int) throws(ImageError) -> Bool {
            for upper in layers[..<place] where !upper.implicit.contains(path) {
                if try upper.file.look(at: path) != .nothing { return true }
            }
            return false
        }

        /// That of the next layer which describes it, if it shows from there.
        func access(of path: String, below place: Int) throws(ImageError) -> DirectoryAccess? {
            for lower in layers[(place + 1)...] {
                switch try lower.file.look(at: path) {
                case .directory(let access):
                    // Where it only goes through it too, one further down has a say.
                    if !lower.implicit.contains(path) { return access }
                case .hidden: return nil
                case .nothing: break
                }
            }
            return nil
        }

        /// That of the topmost layer that has it, which overlayfs shows.
        func shown(_ path: String) throws(ImageError) -> DirectoryAccess {
            for layer in layers {
                if case .directory(let access) = try layer.file.look(at: path) {
                    return access
                }
            }
            return .standard
        }
    }
}
