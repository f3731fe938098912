internal import CLinux

extension Files {
    /// The extended attributes of what a path leads to, by their names; a link at its end is not
    /// followed. None where the file system has no such thing.
    public static func attributes(
        of path: String
    ) throws(SystemCallError) -> [(name: [UInt8], value: [UInt8])] {
        // XATTR_LIST_MAX
        let list = bytes(capacity: 65536) { buffer in
            withAddress(of: path) { systemCall(__NR_llistxattr, $0, buffer, 65536) }
        }
        let names: [UInt8]
        switch list {
        case .success(let bytes): names = bytes
        case .failure(.notSupported): return []
        case .failure(let number):
            throw SystemCallError(call: "llistxattr", subject: path, errorNumber: number)
        }
        var result: [(name: [UInt8], value: [UInt8])] = []
        for name in names.split(separator: 0) {
            let text = String(decoding: name, as: UTF8.self)
            // XATTR_SIZE_MAX
            let value = bytes(capacity: 65536) { buffer in
                withAddress(of: path) { path in
                    withAddress(of: text) { systemCall(__NR_lgetxattr, path, $0, buffer, 65536) }
                }
            }
            switch value {
            case .success(let bytes): result.append((Array(name), bytes))
            // Gone meanwhile.
            case .failure(.noData): continue
            case .failure(let number):
                throw SystemCallError(call: "lgetxattr", subject: path, errorNumber: number)
            }
        }
        return result
    }
}
