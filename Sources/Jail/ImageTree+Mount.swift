public import LinuxKernel
public import SandboxModel

extension ImageTree {
    /// The tree at the root of a mount, which may be attached nowhere. The mount lasts as long as
    /// this does.
    ///
    /// - Parameter name: what messages call it.
    public static func open(
        _ mount: borrowing Descriptor, named name: String
    ) throws(SandboxError) -> ImageTree {
        do throws(SystemCallError) {
            let directory = try mount.duplicate()
            let status = try Files.status(of: directory)
            return ImageTree(path: name, directory: directory, status: status)
        } catch {
            throw SandboxError(.imageMissing, "image `\(name)`: \(error.errorNumber)")
        }
    }
}
