internal import CLinux

/// Random bytes of the kernel's.
public enum Randomness {
    public static func bytes(_ count: Int) throws(SystemCallError) -> [UInt8] {
        var result: [UInt8] = []
        while result.count < count {
            let missing = count - result.count
            let part = LinuxKernel.bytes(capacity: missing) {
                systemCall(__NR_getrandom, $0, UInt64(missing), 0)
            }
            switch part {
            case .success(let bytes): result += bytes
            case .failure(.interrupted): continue
            case .failure(let number):
                throw SystemCallError(call: "getrandom", errorNumber: number)
            }
        }
        return result
    }
}
