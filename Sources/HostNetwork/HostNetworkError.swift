public import LinuxKernel
public import Netlink

/// What went wrong with the networks of a node.
public enum HostNetworkError: Error, Hashable, Sendable {
    /// A request of the kernel's networks.
    case netlink(NetlinkError)
    case system(SystemCallError)
    /// What was asked for cannot be, whatever the kernel says.
    case refused(reason: String)
    /// There is no address or no number left.
    case exhausted(what: String)
}

extension HostNetworkError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .netlink(let error): error.description
        case .system(let error): error.description
        case .refused(let reason): reason
        case .exhausted(let what): "no \(what) left"
        }
    }
}

/// Performs something of the kernel's, with its errors as this layer's.
func withNetlink<Result>(
    _ body: () throws(NetlinkError) -> Result
) throws(HostNetworkError) -> Result {
    do throws(NetlinkError) {
        return try body()
    } catch {
        throw .netlink(error)
    }
}

func withSystem<Result: ~Copyable>(
    _ body: () throws(SystemCallError) -> Result
) throws(HostNetworkError) -> Result {
    do throws(SystemCallError) {
        return try body()
    } catch {
        throw .system(error)
    }
}
