internal import CLinux

/// What a directory holds.
public enum DirectoryListing {
    /// The names in a directory, without `.` and `..`, in the kernel's order.
    public static func names(in path: String) throws(SystemCallError) -> [String] {
        let directory = try Files.open(path, [.readOnly, .directory])
        var names: [String] = []
        while true {
            let number = directory.rawValue
            let block = bytes(capacity: 32768) {
                systemCall(__NR_getdents64, UInt64(argument: number), $0, 32768)
            }
            guard case .success(let entries) = block else {
                guard case .failure(let error) = block else { break }
                throw SystemCallError(call: "getdents64", subject: path, errorNumber: error)
            }
            if entries.isEmpty { return names }
            names += parse(entries)
        }
        return names
    }

    /// The names in a block of `struct linux_dirent64`: an inode and an offset of 8 bytes each,
    /// the record's length in 2, the type in 1, then the name, ended by zero.
    static func parse(_ block: [UInt8]) -> [String] {
        var names: [String] = []
        var start = 0
        while start + 19 < block.count {
            let length = Int(block[start + 16]) | Int(block[start + 17]) << 8
            guard length > 19, start + length <= block.count else { break }
            let name = block[(start + 19)..<(start + length)].prefix { $0 != 0 }
            let text = String(decoding: name, as: UTF8.self)
            if text != ".", text != ".." { names.append(text) }
            start += length
        }
        return names
    }
}
