internal import CArchive
internal import Glibc

/// Reads an archive, or what is packed, by libarchive: of formats tar in all its dialects, of
/// packing gzip and zstd, and no others, whatever the content looks like.
@safe final class ArchiveReader: ByteStream, LayerSource {
    enum Form {
        /// The files of an archive, packed as a whole or not.
        case packedFiles
        /// The files of an archive that is not packed.
        case files
        /// The content of what is packed, or as it is.
        case content
    }

    private let archive: OpaquePointer
    private let input: ArchiveInput
    private let what: String
    /// The header that was read last.
    private var entry: OpaquePointer?
    private var isAtEnd = false

    init(_ source: any ByteStream, as form: Form, what: String) throws(ImageError) {
        // SAFETY: null, or an archive that is this object's alone.
        guard let archive = unsafe archive_read_new() else {
            throw ImageError(.storage, "out of memory for an archive")
        }
        // SAFETY: freed by deinit alone; so too below, wherever `archive` is used.
        unsafe self.archive = archive
        input = ArchiveInput(source)
        self.what = what
        // SAFETY: as above. These only fail without memory, which opening then reports.
        if form != .files {
            unsafe archive_read_support_filter_gzip(archive)
            unsafe archive_read_support_filter_zstd(archive)
        }
        // SAFETY: as above.
        if form == .content { unsafe archive_read_support_format_raw(archive) }
        // SAFETY: as above.
        if form != .content { unsafe archive_read_support_format_tar(archive) }
        // SAFETY: as above.
        unsafe archive_read_support_format_empty(archive)
        // SAFETY: as above. The input is kept by this object, which outlives the archive.
        let context = unsafe Unmanaged.passUnretained(input).toOpaque()
        // SAFETY: as above.
        unsafe archive_read_set_callback_data(archive, context)
        // SAFETY: as above. libarchive calls back only within calls that this object makes.
        unsafe archive_read_set_read_callback(archive) { _, context, place in
            guard let context = unsafe context, let place = unsafe place else { return -1 }
            let input = unsafe Unmanaged<ArchiveInput>.fromOpaque(context).takeUnretainedValue()
            return unsafe input.read(place)
        }
        // SAFETY: as above.
        unsafe archive_read_set_skip_callback(archive) { _, context, count in
            guard let context = unsafe context else { return 0 }
            return unsafe Unmanaged<ArchiveInput>.fromOpaque(context).takeUnretainedValue()
                .skip(count)
        }
        // SAFETY: as above.
        let result = unsafe archive_read_open1(archive)
        try check(result)
        if form == .content { _ = try nextHeader() }
    }

    deinit {
        // SAFETY: made by init, and nobody else holds it.
        unsafe archive_read_free(archive)
    }

    /// Goes on to the next file. False at the end of the archive.
    private func nextHeader() throws(ImageError) -> Bool {
        guard !isAtEnd else { return false }
        // SAFETY: the entry belongs to the archive and is valid until the next header.
        let result = unsafe archive_read_next_header(archive, &entry)
        if result == ARCHIVE_EOF {
            isAtEnd = true
            return false
        }
        // A warning means that something in the header was left out.
        try check(result, allowingWarning: false)
        return true
    }

    /// The next file of the archive; nothing at its end.
    func next() throws(ImageError) -> LayerEntry? {
        // SAFETY: `entry` is valid after a header was read, until the next.
        guard try nextHeader(), let entry = unsafe entry else { return nil }
        // SAFETY: as above.
        guard let path = unsafe Self.text(archive_entry_pathname(entry)) else {
            throw ImageError(.malformed, "\(what): a file has no name, or one that is not UTF-8")
        }
        // SAFETY: as above.
        var result = unsafe LayerEntry(
            path: path, fileType: UInt32(archive_entry_filetype(entry)),
            permissions: UInt32(archive_entry_perm(entry)), user: archive_entry_uid(entry),
            group: archive_entry_gid(entry), seconds: Int64(archive_entry_mtime(entry)),
            nanoseconds: archive_entry_mtime_nsec(entry),
            size: archive_entry_size_is_set(entry) != 0 ? archive_entry_size(entry) : nil,
            hardLink: Self.text(archive_entry_hardlink(entry)),
            symbolicLink: Self.text(archive_entry_symlink(entry)),
            deviceMajor: UInt64(archive_entry_rdevmajor(entry)),
            deviceMinor: UInt64(archive_entry_rdevminor(entry)),
            attributes: [])
        // SAFETY: as above.
        guard unsafe archive_entry_xattr_reset(entry) > 0 else { return result }
        // SAFETY: as above.
        result.attributes = unsafe Self.attributes(of: entry)
        return result
    }

    /// - Safety: `entry` is one that libarchive gave and that is still valid.
    @unsafe private static func attributes(of entry: OpaquePointer) -> [LayerEntry.Attribute] {
        var attributes: [LayerEntry.Attribute] = []
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var size = 0
        // SAFETY: libarchive gives a name that ends with zero, and `size` bytes, both valid as
        // long as the entry is.
        while unsafe archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK {
            // SAFETY: as above.
            guard let name = unsafe text(name) else { continue }
            // SAFETY: as above.
            let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: value, count: size))
            attributes.append(LayerEntry.Attribute(name: name, value: bytes))
        }
        return attributes
    }

    /// - Safety: `pointer` is null, or leads to bytes that end with zero.
    @unsafe private static func text(_ pointer: UnsafePointer<CChar>?) -> [UInt8]? {
        // SAFETY: the caller's promise.
        guard let pointer = unsafe pointer else { return nil }
        // SAFETY: as above.
        return unsafe [UInt8](UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)))
    }

    /// Reads on in the current file.
    func read(into buffer: inout MutableSpan<UInt8>) throws(ImageError) -> Int {
        guard !isAtEnd else { return 0 }
        // SAFETY: writes at most the size of the span into it.
        let result = unsafe buffer.withUnsafeMutableBufferPointer { bytes in
            // SAFETY: as above.
            unsafe archive_read_data(archive, bytes.baseAddress, bytes.count)
        }
        if result < 0 { try check(Int32(result)) }
        return result
    }

    /// Gives the content of the current file piece by piece, each with its place in the file; what
    /// lies between is zero.
    func readPieces(
        _ body: (Span<UInt8>, UInt64) throws(ImageError) -> Void
    ) throws(ImageError) {
        while true {
            var start: UnsafeRawPointer?
            var count = 0
            var offset: Int64 = 0
            // SAFETY: libarchive's own buffer, valid until its next call, which is made after
            // `body` has come back.
            let result = unsafe archive_read_data_block(archive, &start, &count, &offset)
            if result == ARCHIVE_EOF { return }
            try check(result)
            guard count > 0 else { continue }
            guard offset >= 0 else { throw ImageError(.malformed, "\(what): a negative offset") }
            // SAFETY: as above.
            let bytes = unsafe UnsafeBufferPointer(
                start: start?.assumingMemoryBound(to: UInt8.self), count: count)
            // SAFETY: as above.
            try body(unsafe Span(_unsafeElements: bytes), UInt64(offset))
        }
    }

    private func check(_ result: Int32, allowingWarning: Bool = true) throws(ImageError) {
        if result == ARCHIVE_OK || (allowingWarning && result == ARCHIVE_WARN) { return }
        if let error = input.error { throw error }
        // SAFETY: null, or a text of the archive that ends with zero.
        let text = unsafe Self.text(archive_error_string(archive)) ?? Array("unreadable".utf8)
        let message = String(decoding: text, as: UTF8.self)
        throw ImageError(.malformed, "\(what): \(message)")
    }
}

/// Where libarchive gets its bytes from.
@safe private final class ArchiveInput {
    private let source: any ByteStream
    private let buffer: UnsafeMutableBufferPointer<UInt8>
    /// What made the source stop.
    private(set) var error: ImageError?

    init(_ source: any ByteStream) {
        self.source = source
        // SAFETY: freed by deinit alone.
        unsafe buffer = .allocate(capacity: 256 << 10)
        // SAFETY: as above.
        unsafe buffer.initialize(repeating: 0)
    }

    deinit {
        // SAFETY: the archive, which has the address, does not outlive this object.
        unsafe buffer.deallocate()
    }

    /// - Safety: `place` can be written to.
    @unsafe func read(_ place: UnsafeMutablePointer<UnsafeRawPointer?>) -> Int {
        // SAFETY: the buffer is this object's, valid until the next call of libarchive's.
        var span = unsafe MutableSpan(_unsafeElements: buffer)
        do throws(ImageError) {
            let count = try source.read(into: &span)
            // SAFETY: the caller's promise.
            unsafe place.pointee = UnsafeRawPointer(buffer.baseAddress)
            return count
        } catch {
            self.error = error
            return -1
        }
    }

    func skip(_ count: Int64) -> Int64 {
        do throws(ImageError) {
            return try source.skip(count)
        } catch {
            self.error = error
            return Int64(ARCHIVE_FATAL)
        }
    }
}

/// As long as it lives, names in archives are UTF-8 for the calling thread, whatever the locale of
/// the process is: libarchive would else replace what the locale cannot say.
@safe struct UTF8Names: ~Copyable {
    private let own: locale_t?
    private let previous: locale_t?

    init() {
        // SAFETY: the names are constant texts; the locale is freed by deinit.
        unsafe own = newlocale(1 << LC_CTYPE, "C.UTF-8", nil)
        // SAFETY: as above. Null only asks.
        unsafe previous = uselocale(own)
    }

    deinit {
        // SAFETY: the thread's locale from before, and then nobody uses the own one.
        unsafe uselocale(previous)
        // SAFETY: as above.
        if let own = unsafe own { unsafe freelocale(own) }
    }
}
