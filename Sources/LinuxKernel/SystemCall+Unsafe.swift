internal import CLinux

/// The result of a system call: a value that is not negative, or an error number.
@inline(__always)
func systemCall(
    _ number: Int32, _ first: UInt64 = 0, _ second: UInt64 = 0, _ third: UInt64 = 0,
    _ fourth: UInt64 = 0, _ fifth: UInt64 = 0, _ sixth: UInt64 = 0
) -> Int64 {
    alcove_system_call(
        UInt64(truncatingIfNeeded: number), first, second, third, fourth, fifth, sixth)
}

/// Turns a raw result into a value or an error. The name and the subject are only made into text
/// when the call failed.
@inline(__always)
@discardableResult
func checked(
    _ result: Int64, _ call: StaticString, _ subject: @autoclosure () -> String? = nil
) throws(SystemCallError) -> Int64 {
    guard result < 0 else { return result }
    throw SystemCallError(
        call: "\(call)", subject: subject(),
        errorNumber: ErrorNumber(rawValue: Int32(truncatingIfNeeded: -result)))
}

extension UInt64 {
    /// A descriptor or another signed number, as a call's argument.
    @inline(__always)
    init(argument value: Int32) {
        self = UInt64(bitPattern: Int64(value))
    }
}

/// Calls `body` with the address of a text that ends with a zero byte.
@inline(__always)
func withAddress<Result>(of text: String, _ body: (UInt64) -> Result) -> Result {
    // SAFETY: the address is used by one system call within `body` and not kept.
    unsafe text.withCString { pointer in
        body(UInt64(UInt(bitPattern: pointer)))
    }
}

/// Calls `body` with the address of a value's bytes, which the call may read or change.
@inline(__always)
func withAddress<Value: BitwiseCopyable, Result>(
    of value: inout Value, _ body: (UInt64) -> Result
) -> Result {
    // SAFETY: the address is used by one system call within `body` and not kept; the value holds
    // no reference (BitwiseCopyable).
    unsafe withUnsafeMutablePointer(to: &value) { pointer in
        body(UInt64(UInt(bitPattern: pointer)))
    }
}

/// Calls `body` with the address and the size of bytes to read.
@inline(__always)
func withAddress<Result>(of bytes: [UInt8], _ body: (UInt64, UInt64) -> Result) -> Result {
    // SAFETY: the address is used by one system call within `body` and not kept.
    unsafe bytes.withUnsafeBytes { buffer in
        body(UInt64(UInt(bitPattern: buffer.baseAddress)), UInt64(buffer.count))
    }
}

/// Makes an array of at most `capacity` bytes by a call that fills it and gives the count.
func bytes(
    capacity: Int, filledBy fill: (UInt64) -> Int64
) -> Result<[UInt8], ErrorNumber> {
    var failure: ErrorNumber?
    // SAFETY: `fill` gets the address of `capacity` bytes and says how many it wrote; the count
    // comes from the kernel, which never writes more than it was given.
    let filled = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
        let result = fill(UInt64(UInt(bitPattern: buffer.baseAddress)))
        if result < 0 {
            failure = ErrorNumber(rawValue: Int32(truncatingIfNeeded: -result))
        } else {
            count = min(Int(result), capacity)
        }
    }
    if let failure { return .failure(failure) }
    return .success(filled)
}

extension ErrorNumber: Error {}
