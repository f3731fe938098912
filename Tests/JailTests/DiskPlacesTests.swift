import SandboxModel
import Testing

@testable import Jail

@Suite struct DiskPlacesTests {
    private let places = DiskPlaces(images: "/var/lib/images", scratch: "/")

    private func spec(_ image: String, _ scratch: SandboxSpec.ScratchPlace) -> SandboxSpec {
        var spec = SandboxSpec(image: image, command: ["/bin/true"])
        spec.scratchPlace = scratch
        return spec
    }

    @Test("an image of the store is read from the store's disk, a directory from its own")
    func images() {
        #expect(places.image(of: spec("sha256:0a", .memory)) == "/var/lib/images")
        #expect(places.image(of: spec("/images/base", .memory)) == "/images/base")
        #expect(places.image(of: spec("build/base", .memory)) == "build/base")
        #expect(DiskPlaces().image(of: spec("sha256:0a", .memory)) == "sha256:0a")
    }

    @Test("the disk of scratch space counts for a sandbox that has some on a disk")
    func scratch() {
        #expect(places.scratchStatus(of: spec("/", .disk)) != nil)
        #expect(places.scratchStatus(of: spec("/", .memory)) == nil)
        #expect(DiskPlaces().scratchStatus(of: spec("/", .disk)) == nil)
        #expect(DiskPlaces(scratch: "/none/there").scratchStatus(of: spec("/", .disk)) == nil)
    }
}
