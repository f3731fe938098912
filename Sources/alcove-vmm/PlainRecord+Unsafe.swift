internal import CInitProtocol
internal import LinuxKernel

/// Records of the host's protocol as bytes.
enum PlainRecord {
    /// Writes one record whole. A reader that is gone misses nothing.
    static func write(_ record: alcove_report, to descriptor: Int32) {
        // SAFETY: the record is plain numbers without padding, copied while it lives.
        let bytes = unsafe withUnsafeBytes(of: record) { unsafe Array($0) }
        _ = StandardStream.writeSome(bytes, to: descriptor)
    }
}
