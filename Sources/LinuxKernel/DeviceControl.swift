internal import CLinux

// `ioctl`, for the layers that speak to devices.
extension Descriptor {
    /// Makes a request with a number as its argument. Gives what the device gave.
    ///
    /// - Parameter name: the request as the kernel calls it, for the error.
    @discardableResult
    public borrowing func control(
        _ request: UInt64, _ argument: UInt64 = 0, name: StaticString
    ) throws(SystemCallError) -> Int64 {
        try checked(
            systemCall(__NR_ioctl, UInt64(argument: rawValue), request, argument), name)
    }

    /// Makes a request with a structure that the device reads or changes.
    @discardableResult
    public borrowing func control<Value: BitwiseCopyable>(
        _ request: UInt64, with value: inout Value, name: StaticString
    ) throws(SystemCallError) -> Int64 {
        let number = rawValue
        return try checked(
            withAddress(of: &value) {
                systemCall(__NR_ioctl, UInt64(argument: number), request, $0)
            }, name)
    }
}
