internal import LinuxKernel
internal import SandboxModel

/// What a directory tree holds.
struct DirectorySize: Sendable {
    var bytes: UInt64 = 0
    var files: UInt64 = 0

    /// A tree with more than this is not looked at to its end.
    private static let mostFiles: UInt64 = 1_000_000

    /// Links are counted and not followed.
    static func measure(_ directory: String) throws(SandboxError) -> DirectorySize {
        var size = DirectorySize()
        var pending = [directory]
        do throws(SystemCallError) {
            while let path = pending.popLast() {
                let folder = try Files.open(path, [.path, .directory])
                for name in try DirectoryListing.names(in: path) {
                    let status = try Files.status(of: name, at: folder, followingLinks: false)
                    size.files += 1
                    if status.kind == .directory {
                        pending.append(path + "/" + name)
                    } else {
                        size.bytes += status.size
                    }
                }
                if size.files > mostFiles { break }
            }
        } catch {
            throw SandboxError(.imageMissing, "image `\(directory)`: \(error)")
        }
        return size
    }
}
