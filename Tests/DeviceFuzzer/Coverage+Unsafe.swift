import Glibc
import LinuxKernel

// libFuzzer, in the build that `scripts/fuzz --coverage` makes. Other builds do not have it.

private let coverage = Locked<FuzzCampaign?>(nil)

/// Tries one input. Corresponds to the function of that name which libFuzzer looks for.
@c(LLVMFuzzerTestOneInput)
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    // SAFETY: libFuzzer gives `count` bytes that live during the call; they are copied.
    let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: count))
    coverage.with { campaign in
        do {
            if campaign == nil { campaign = try makeCampaign() }
            try campaign?.perform(bytes)
        } catch {
            preconditionFailure("an input could not be tried: \(error)")
        }
    }
    return 0
}

private func makeCampaign() throws -> FuzzCampaign {
    // SAFETY: nothing changes the environment; the text is copied.
    let name = unsafe getenv("ALCOVE_FUZZ_DEVICE").map { unsafe String(cString: $0) } ?? ""
    guard let make = FuzzSubjects.named(name) else {
        preconditionFailure("ALCOVE_FUZZ_DEVICE names no device")
    }
    return try FuzzCampaign(make, folder: ".")
}

/// Runs libFuzzer with arguments of its own. Gives nil where the program was built without it.
func runCoverageGuided(_ arguments: [String]) -> Int32? {
    typealias Entry = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
    typealias Driver =
        @convention(c) (
            UnsafeMutablePointer<Int32>, UnsafeMutablePointer<UnsafeMutablePointer<CString>?>, Entry
        ) -> Int32
    typealias CString = UnsafeMutablePointer<CChar>?
    // SAFETY: the name ends with a zero byte; it is looked for in the whole program.
    guard let symbol = unsafe dlsym(nil, "LLVMFuzzerRunDriver") else { return nil }
    // SAFETY: that is the type of the function of this name.
    let driver = unsafe unsafeBitCast(symbol, to: Driver.self)
    let words = CommandLine.arguments.prefix(1) + arguments
    var count = Int32(words.count)
    let list = UnsafeMutablePointer<CString>.allocate(capacity: words.count + 1)
    // SAFETY: the list has room for the words, and it and they live as long as the program, which
    // libFuzzer needs.
    for (index, word) in words.enumerated() { unsafe list[index] = strdup(word) }
    // SAFETY: there is room for one more.
    unsafe list[words.count] = nil
    var pointer: UnsafeMutablePointer<CString>? = unsafe list
    // SAFETY: both variables live during the call.
    return unsafe driver(&count, &pointer, testOneInput)
}
