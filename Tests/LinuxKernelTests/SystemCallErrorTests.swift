import LinuxKernel
import Testing

@Suite struct SystemCallErrorTests {
    @Test("an error reads as call, subject and the kernel's reason")
    func description() {
        let error = SystemCallError(
            call: "open", subject: "/dev/kvm", errorNumber: ErrorNumber(rawValue: 13))
        #expect("\(error)" == "open `/dev/kvm`: Permission denied")
    }

    @Test("an unknown error number is said as a number")
    func unknownNumber() {
        #expect("\(ErrorNumber(rawValue: 4095))" == "error 4095")
    }
}
