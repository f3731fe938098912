import Foundation
import SandboxModel
import TestSupport
import Testing

@Suite("The start of a guest")
struct GuestStartTests {
    @Test("The monitor gives a kernel the words that were counted with")
    func words() throws {
        let file = try String(
            contentsOfFile: PackageRoot.path("rootfs/kernel/cmdline"), encoding: .utf8)
        let source = try String(
            contentsOfFile: PackageRoot.path("Sources/alcove-vmm/KernelCommandLine.swift"),
            encoding: .utf8)
        let words = file.split(whereSeparator: \.isWhitespace)
        #expect(!words.isEmpty)
        for word in words { #expect(source.contains("\"\(word)\""), "\(word)") }
    }

    /// QEMU names its devices after everything else, where alcove-init's arguments stand.
    private static let devices = (0..<3).map { index in
        let slot = 7 - index
        return "virtio_mmio.device=512@0x\(String(0xfeb0_0000 + 512 * slot, radix: 16)):\(5 + slot)"
    }

    @Test(
        "From the kernel's entry until alcove-init is ready, no more instructions than before",
        .needs(.guestKernel, .qemu, .mkfsErofs, .python3, .cc))
    func instructions() throws {
        let workplace = try Workplace()
        try workplace.make("mkdir -p root/proc root/dev root/tmp root/sys")
        _ = try succeed("mkfs.erofs", ["-T0", "--all-root", workplace("disk"), workplace("root")])
        let built = try run(
            PackageRoot.path("rootfs/build-initrd"),
            arguments: ["--init", try Products.path("alcove-init"), workplace("initrd")])
        #expect(built.succeeded, "\(built)")
        let guest = "-- guest layers=1 root=rw scratch=16777216 vsock=none mark=244"
        let most = Double(PromisedNumbers.guestStartMeasured) * PromisedNumbers.guestStartGrowth
        let counted = try run(
            PackageRoot.path("scripts/count-guest-instructions"),
            arguments: [
                "--initrd", workplace("initrd"), "--append",
                (Self.devices + [guest]).joined(separator: " "), "--at-most", "\(Int(most))", "--",
                "-machine", "auto-kernel-cmdline=off", "-drive",
                "id=layer,file=\(workplace("disk")),format=raw,if=none,readonly=on", "-device",
                "virtio-blk-device,drive=layer", "-device", "virtio-rng-device", "-device",
                "virtio-balloon-device",
            ])
        #expect(counted.succeeded, "\(counted)")
        #expect(Int(most) <= PromisedNumbers.guestStartInstructions)
    }
}
