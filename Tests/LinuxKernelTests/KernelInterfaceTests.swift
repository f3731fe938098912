import LinuxKernel
import Testing

@Suite struct KernelInterfaceTests {
    @Test("looking for a call is harmless, and gives the same answer each time")
    func repeatable() {
        for interface in KernelInterface.allCases {
            let first = interface.isPresent
            #expect(interface.isPresent == first, "\(interface)")
        }
    }

    @Test("a kernel that has a newer call has the older ones")
    func order() {
        guard KernelInterface.setMountAttributes.isPresent else { return }
        let older: [KernelInterface] = [
            .clone3, .cloneIntoCgroup, .openTree, .openFileSystem, .moveMount, .openProcess,
            .signalProcess, .openResolved, .closeRange,
        ]
        for interface in older { #expect(interface.isPresent, "\(interface)") }
    }

    @Test("the kernel has a release, an architecture and limits")
    func machine() throws {
        #expect(Machine.kernelRelease.contains("."))
        #expect(Machine.architecture == "x86_64")
        let limit = try #require(ThisProcess.openFileLimit)
        #expect(limit.soft > 0 && limit.soft <= limit.hard)
    }
}
