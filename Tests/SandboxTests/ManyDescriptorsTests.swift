import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

extension SandboxTests {
    /// A starter with more descriptors than its sandboxes may have.
    @Suite struct ManyDescriptors {
        @Test("a starter has more descriptors open than the limit of its sandboxes allows")
        func many() async {
            await #expect(processExitsWith: .success) {
                let driver = try JailDriver()
                let held = try (0..<100).map { _ in try Held() }
                defer { withExtendedLifetime(held) {} }
                for variant in Variant.allCases {
                    let outcome = try driver.run(
                        driver.prepare(variant) {
                            $0.processLimits = [.init(.openFiles, soft: 64, hard: 64)]
                        })
                    #expect(
                        outcome.ending == .ended(.exited(code: 0)), "\(variant): \(outcome.ending)")
                }
            }
        }

        private final class Held {
            private let file: Descriptor

            init() throws { file = try Files.open("/dev/null", .readOnly) }
        }
    }
}
