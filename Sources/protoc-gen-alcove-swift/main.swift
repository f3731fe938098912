internal import LinuxKernel
internal import ProtocolBuffers

// A plug-in of protoc: reads a request on the standard input and answers on the standard output.
// It is started by `protoc --plugin=… --alcove-swift_out=FOLDER`, see `scripts/generate`.

func readRequest() throws(SystemCallError) -> [UInt8] {
    let input = Descriptor(owning: 0)
    var bytes: [UInt8] = []
    while true {
        let more = try input.read(atMost: 1 << 16, subject: "standard input")
        if more.isEmpty { return bytes }
        bytes += more
    }
}

func answer() throws -> [UInt8] {
    let bytes = try readRequest()
    var reader = try WireReader(
        bytes, in: bytes.indices, limits: WireLimits(bytes: .max, elements: .max))
    let request = try GeneratorRequest(&reader)
    do throws(GeneratorError) {
        return GeneratorResponse.encoded(files: try SwiftGenerator(request).files())
    } catch {
        return GeneratorResponse.encoded(error: error.message)
    }
}

do {
    try Descriptor(owning: 1).writeAll(try answer())
} catch {
    StandardStream.error.write("protoc-gen-alcove-swift: \(error)\n")
    ThisProcess.exit(1)
}
