/// How much is read of what comes from outside. What is above is refused.
public struct ImageLimits: Equatable, Sendable {
    /// Bytes of an index, a manifest or a configuration.
    public var documentBytes = 4 << 20
    /// Files in an archive of an image.
    public var archiveFiles = 20_000
    public var layers = 128
    /// Bytes of a layer as it is stored and sent, and once it is unpacked.
    public var packedLayerBytes: UInt64 = 16 << 30
    public var layerBytes: UInt64 = 16 << 30
    /// Bytes of all layers of an image, unpacked.
    public var imageBytes: UInt64 = 32 << 30
    /// How many times its size a layer may unpack to, beyond the first 256 MiB.
    public var expansion: UInt64 = 400
    /// Length of one file.
    public var fileBytes: UInt64 = 8 << 30
    /// Files, directories and links of a layer.
    public var entries = 500_000
    /// Bytes of a path, and how many directories it may go down.
    public var pathBytes = 4095
    public var depth = 256
    /// Extended attributes of a file, and bytes of all of them.
    public var attributes = 32
    public var attributeBytes = 32 << 10

    public init() {}
}
