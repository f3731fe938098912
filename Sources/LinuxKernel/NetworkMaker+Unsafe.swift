internal import CLinux

/// Makes a network namespace beside the thread that began it, which has other things to do
/// meanwhile: making one takes longer than all other namespaces together.
///
/// A child joins it by ``descriptor`` once the maker is done, for which it waits itself. The child
/// must share this process's memory.
public struct NetworkMaker: ~Copyable {
    /// A pidfd of the maker.
    public let descriptor: Int32

    /// Begins. A process makes one at a time.
    public init() throws(SystemCallError) {
        descriptor = Int32(try checked(alcove_network_begin(), "clone3", "network"))
    }

    deinit {
        _ = alcove_network_release()
    }

    /// The word by which the maker is told that it is no longer needed.
    static var releaseAddress: UInt64 {
        // SAFETY: the word is static; only its address is taken.
        UInt64(UInt(bitPattern: unsafe alcove_network_released()))
    }

    /// The word by which the maker says that it is done, or why it is not.
    static var stateAddress: UInt64 {
        // SAFETY: the word is static; only its address is taken.
        UInt64(UInt(bitPattern: unsafe alcove_network_state()))
    }
}

extension Optional where Wrapped == NetworkMaker {
    /// The maker's pidfd, or -1.
    public var number: Int32 {
        switch self {
        case .some(let maker): maker.descriptor
        case .none: -1
        }
    }
}
