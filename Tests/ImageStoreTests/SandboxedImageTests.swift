import Foundation
import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

@testable import ImageStore

/// Sandboxes whose root is an image of the store.
@Suite(.needs(.root, .sysAdmin, .erofs, .overlay, .cgroupV2)) struct SandboxedImageTests {
    /// Runs a command in a sandbox, and gives how it ended.
    private func outcome(
        of command: [String], in image: MountedImage, root: SandboxSpec.Root
    ) throws -> SandboxOutcome {
        var spec = SandboxSpec(image: "base", command: command)
        spec.root = root
        let host = try SandboxHost(
            initProgram: Products.baseImage() + "/sbin/alcove-init", limits: [])
        let sandbox = try PreparedSandbox(
            spec, image: ImageTree.open(image.tree, named: "base"), on: host)
        let null = try Files.open("/dev/null", .readWrite)
        let running = try sandbox.start(streams: (null.rawValue, null.rawValue, null.rawValue))
        while true {
            var interests = [Readiness.Interest(running.processDescriptor)]
            try Readiness.wait(for: &interests)
            if let outcome = try running.finish() { return outcome }
        }
    }

    @Test(
        "a sandbox runs in an image of two layers, and writes to none of them",
        arguments: [SandboxSpec.Root.writable, .readOnly])
    func runs(root: SandboxSpec.Root) throws {
        let fixture = try ImageFixture()
        let base = try Products.baseImage()
        try fixture.shell("tar -C \(base) -cf base.tar .")
        var top = TarBuilder()
        top.add("message", .file, "hello")
        top.add("bin/.wh.vi", .file)
        let store = try fixture.store()
        let image = try store.importImage(
            from: fixture.layout([fixture.read("base.tar"), top.archive], packing: .zstd)
        ).image
        let mounts = ImageMounts(store)
        let mounted = try mounts.tree(of: image.identifier)
        let change =
            root == .writable ? "echo changed > /message" : "! touch /message 2> /dev/null"
        let script = "test $(cat /message) = hello && \(change) && ! test -e /bin/vi"
        for _ in 0..<3 {
            let outcome = try outcome(of: ["sh", "-c", script], in: mounted, root: root)
            #expect(outcome.exitCode == 0, "\(outcome)")
        }
        // What runs keeps its image, whatever becomes of it.
        mounts.forget(image.identifier)
        _ = try store.prune(includingNamed: true)
        #expect(try outcome(of: ["true"], in: mounted, root: root).exitCode == 0)
    }
}
