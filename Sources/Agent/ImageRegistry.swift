internal import AgentAPI
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// The directory trees that have a name.
struct ImageRegistry {
    private var byName: [String: Image] = [:]

    var names: [String] { byName.keys.sorted() }
    var all: [Image] { names.compactMap { byName[$0] } }

    subscript(name: String) -> Image? { byName[name] }

    mutating func insert(_ image: Image) {
        byName[image.name] = image
    }

    mutating func remove(_ name: String) {
        byName[name] = nil
    }

    /// The directory of an image by its name, or a directory's own path.
    func directory(of image: String) throws(CallFailure) -> String {
        guard !image.hasPrefix("/") else { return image }
        guard !image.isEmpty else {
            throw .invalid(
                "spec.image", "is empty",
                hint: "name an imported image, or the absolute path of a directory tree")
        }
        guard let known = byName[image] else {
            throw CallFailure(
                .failedPrecondition, reason: SandboxError.Code.imageMissing.name,
                "there is no image `\(image.prefix(128))`",
                hint: "`alcove image ls` lists them; a directory is given by its absolute path")
        }
        return known.directory
    }

    /// `a-z 0-9 - _ . / :`, 1 to 128 of them, the first a letter or a digit.
    static func checkName(_ name: String) throws(CallFailure) {
        let bytes = Array(name.utf8)
        let isPlain = { (byte: UInt8) in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        let isValid =
            (1...128).contains(bytes.count) && isPlain(bytes[0])
            && bytes.allSatisfy { isPlain($0) || "-_./:".utf8.contains($0) }
        guard isValid else {
            throw .invalid(
                "name", "is `\(name.prefix(80))`, which is no name of an image",
                hint: "1 to 128 of `a-z 0-9 - _ . / :`, the first a letter or a digit")
        }
    }
}
