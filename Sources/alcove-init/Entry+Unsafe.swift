/// `main`: the package manager wants it under this name and has the linker find it.
@c(alcove_init_main)
public func main(
    _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
    // SAFETY: as below.
    if unsafe GuestRequest.isMeant(by: arguments, count: Int(count)) {
        return runGuest(unsafe GuestRequest(vector: arguments, count: Int(count)))
    }
    // SAFETY: the C start-up code passes the kernel's vector, null at its end, which lives as long
    // as the process.
    guard let request = unsafe LaunchRequest(vector: arguments, count: Int(count)) else {
        LaunchRequest.printUsage()
        return ExitCode.usage
    }
    return launch(request)
}
