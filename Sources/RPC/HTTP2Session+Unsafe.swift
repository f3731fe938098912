internal import CNGHTTP2

/// Whom a session tells what came, on the thread that feeds it.
protocol HTTP2SessionOwner: AnyObject {
    func headersBegan(stream: Int32, _ kind: HTTP2Session.HeaderKind)
    func receivedField(stream: Int32, name: String, value: [UInt8])
    /// A header block is complete.
    func receivedHeaders(stream: Int32, _ kind: HTTP2Session.HeaderKind, endsStream: Bool)
    func receivedData(stream: Int32, _ bytes: [UInt8])
    func receivedEnd(stream: Int32)
    func receivedPing(isAnswer: Bool)
    func receivedSettings()
    /// The peer takes no calls after the last one that is named.
    func receivedGoAway(lastStream: Int32, code: UInt32, text: [UInt8])
    /// The last frame of an answer is out.
    func sentEnd(stream: Int32)
    /// A request could not be sent, and its stream is about to close.
    func notSent(stream: Int32)
    func streamClosed(stream: Int32, code: UInt32)
    /// Gives the next bytes of a request or an answer.
    func fill(stream: Int32, _ room: inout MutableSpan<UInt8>) -> HTTP2Session.Filling
}

/// One connection's side of HTTP/2, without I/O: bytes in, calls of its owner, bytes out.
///
/// It runs without the library's checks of HTTP's own rules, which refuse authorities that gRPC's
/// clients send over Unix sockets; `RequestHead` and `Metadata` check what is used.
@safe final class HTTP2Session {
    enum Role {
        case server, client
    }

    enum HeaderKind {
        case request
        /// The first block of an answer.
        case response
        /// A block after the first.
        case later

        fileprivate init(_ category: nghttp2_headers_category) {
            switch category {
            case NGHTTP2_HCAT_REQUEST: self = .request
            case NGHTTP2_HCAT_RESPONSE: self = .response
            default: self = .later
            }
        }
    }

    /// What `fill` found.
    enum Filling {
        /// That many bytes, and maybe more later.
        case bytes(Int)
        /// Nothing now; `resume` says when.
        case later
        /// That many bytes, and then these trailers, if any.
        case end(Int, trailers: HeaderBlock?)
    }

    struct Settings: Sendable {
        var concurrentStreams: UInt32
        var streamWindow: UInt32
        var connectionWindow: UInt32
        var headerListSize: UInt32
    }

    /// Corresponds to HTTP/2's error codes.
    enum ErrorCode: UInt32 {
        case noError = 0
        case protocolError = 1
        case refusedStream = 7
        case cancel = 8
        case enhanceYourCalm = 11
    }

    private let session: OpaquePointer
    /// Set right after `init`, by the one that owns this.
    weak var owner: (any HTTP2SessionOwner)?

    init?(_ role: Role, _ settings: Settings) {
        var made: OpaquePointer?
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        // SAFETY: both are made here, read by the making of the session, and deleted below.
        guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0 else { return nil }
        // SAFETY: as above.
        defer { unsafe nghttp2_session_callbacks_del(callbacks) }
        // SAFETY: as above.
        guard unsafe nghttp2_option_new(&options) == 0 else { return nil }
        // SAFETY: as above.
        defer { unsafe nghttp2_option_del(options) }
        // SAFETY: as above.
        unsafe Self.setCallbacks(callbacks)
        // SAFETY: as above.
        unsafe Self.setOptions(options)
        // SAFETY: as above; the session has no user data yet, so no callback can go astray.
        let result =
            switch role {
            case .server: unsafe nghttp2_session_server_new2(&made, callbacks, nil, options)
            case .client: unsafe nghttp2_session_client_new2(&made, callbacks, nil, options)
            }
        guard result == 0, let made = unsafe made else { return nil }
        // SAFETY: the session is deleted by deinit alone.
        unsafe session = made
        // SAFETY: the user data is this object, which outlives the session that it deletes.
        unsafe nghttp2_session_set_user_data(made, Unmanaged.passUnretained(self).toOpaque())
        guard submit(settings, role) else { return nil }
    }

    deinit {
        // SAFETY: nobody can use it any more.
        unsafe nghttp2_session_del(session)
    }

    private static func setOptions(_ options: OpaquePointer?) {
        // SAFETY: the caller's options are live.
        unsafe nghttp2_option_set_no_auto_window_update(options, 1)
        unsafe nghttp2_option_set_no_http_messaging(options, 1)
        unsafe nghttp2_option_set_no_closed_streams(options, 1)
        // Clients cancel calls; only a flood of that is an attack.
        unsafe nghttp2_option_set_stream_reset_rate_limit(options, 10_000, 1000)
    }

    private func submit(_ settings: Settings, _ role: Role) -> Bool {
        let first =
            switch role {
            case .server:
                (NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.concurrentStreams)
            case .client: (NGHTTP2_SETTINGS_ENABLE_PUSH, UInt32(0))
            }
        let entries = [
            first, (NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow),
            (NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.headerListSize),
            (NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
        ].map { nghttp2_settings_entry(settings_id: Int32($0.0.rawValue), value: $0.1) }
        // SAFETY: the entries are copied by the call.
        let result = unsafe nghttp2_submit_settings(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count)
        // SAFETY: the session lives as long as this object.
        return unsafe result == 0
            && nghttp2_session_set_local_window_size(
                session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, Int32(settings.connectionWindow))
                == 0
    }

    // MARK: - Bytes

    /// Takes the first `count` bytes in. False when the peer speaks something else: then nothing
    /// more can come of it.
    func receive(_ bytes: [UInt8], count: Int) -> Bool {
        precondition(count <= bytes.count, "no more than there is")
        // SAFETY: the bytes live until the call is over, and the count is within them.
        return unsafe bytes.withUnsafeBufferPointer {
            unsafe nghttp2_session_mem_recv(session, $0.baseAddress, count) >= 0
        }
    }

    /// Appends what is to be sent, until the output holds `limit`. False when the session is
    /// broken.
    func produce(into output: inout OutgoingBytes, limit: Int) -> Bool {
        while output.count < limit {
            // SAFETY: the session lives as long as this object.
            var data: UnsafePointer<UInt8>?
            let count = unsafe nghttp2_session_mem_send(session, &data)
            guard count >= 0 else { return false }
            if count == 0 { break }
            // SAFETY: the library gives that many bytes, which live until its next call.
            unsafe output.append(UnsafeBufferPointer(start: data, count: count))
        }
        return true
    }

    var wantsToSend: Bool {
        // SAFETY: the session lives as long as this object.
        unsafe nghttp2_session_want_write(session) != 0
    }

    /// Whether nothing can come or go any more.
    var isOver: Bool {
        // SAFETY: the session lives as long as this object.
        unsafe nghttp2_session_want_read(session) == 0 && !wantsToSend
    }

    // MARK: - Calls

    /// Begins a request with a body. Gives its stream; nothing when there are no numbers left.
    func request(_ block: HeaderBlock) -> Int32? {
        var provider = unsafe nghttp2_data_provider()
        // SAFETY: the callback finds this object by the session's user data.
        unsafe provider.read_callback = Self.read
        var stream: Int32 = -1
        unsafe withFields(block) { fields, count in
            // SAFETY: fields and provider are copied by the call.
            stream = unsafe withUnsafePointer(to: &provider) {
                unsafe nghttp2_submit_request(session, nil, fields, count, $0, nil)
            }
        }
        return stream > 0 ? stream : nil
    }

    /// Begins an answer; without a body it is the whole answer.
    func answer(stream: Int32, _ block: HeaderBlock, hasBody: Bool) {
        var provider = unsafe nghttp2_data_provider()
        // SAFETY: the callback finds this object by the session's user data.
        unsafe provider.read_callback = Self.read
        unsafe withFields(block) { fields, count in
            // SAFETY: fields and provider are copied by the call.
            _ = unsafe withUnsafePointer(to: &provider) {
                unsafe nghttp2_submit_response(session, stream, fields, count, hasBody ? $0 : nil)
            }
        }
    }

    /// Goes on with a stream whose `fill` said `later`.
    func resume(stream: Int32) {
        // SAFETY: the session lives as long as this object; an unknown stream is an error of no
        // consequence.
        _ = unsafe nghttp2_session_resume_data(session, stream)
    }

    func reset(stream: Int32, _ code: ErrorCode) {
        // SAFETY: as above.
        _ = unsafe nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code.rawValue)
    }

    /// Whether the peer sends no more on a stream.
    func hasRemoteEnded(stream: Int32) -> Bool {
        // SAFETY: as above.
        unsafe nghttp2_session_get_stream_remote_close(session, stream) != 0
    }

    /// Lets the peer send as much again, on the connection and on the stream.
    func acknowledge(connectionBytes: Int) {
        // SAFETY: as above.
        _ = unsafe nghttp2_session_consume_connection(session, connectionBytes)
    }

    func acknowledge(stream: Int32, bytes: Int) {
        // SAFETY: as above.
        _ = unsafe nghttp2_session_consume_stream(session, stream, bytes)
    }

    // MARK: - The connection

    func ping() {
        // SAFETY: the session lives as long as this object.
        _ = unsafe nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
    }

    /// Says that the connection will end; calls that come meanwhile are still taken.
    func announceShutdown() {
        // SAFETY: as above.
        _ = unsafe nghttp2_submit_shutdown_notice(session)
    }

    /// Takes no more calls.
    func goAway() {
        // SAFETY: as above.
        unsafe nghttp2_submit_goaway(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue),
            nghttp2_session_get_last_proc_stream_id(session), ErrorCode.noError.rawValue, nil, 0)
    }

    /// Ends the connection, once that is sent.
    func terminate(_ code: ErrorCode) {
        // SAFETY: as above.
        _ = unsafe nghttp2_session_terminate_session(session, code.rawValue)
    }

    // MARK: - Below

    private func withFields(
        _ block: HeaderBlock, _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Void
    ) {
        // SAFETY: the fields point into the block's bytes, which live until the body is over; the
        // library only reads them, and copies them.
        unsafe block.bytes.withUnsafeBufferPointer { bytes in
            let base = unsafe UnsafeMutablePointer(mutating: bytes.baseAddress)
            let fields = unsafe block.fields.map { field in
                unsafe nghttp2_nv(
                    name: base?.advanced(by: field.name.lowerBound),
                    value: base?.advanced(by: field.value.lowerBound),
                    namelen: field.name.count, valuelen: field.value.count,
                    flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
            }
            // SAFETY: as above.
            unsafe fields.withUnsafeBufferPointer { unsafe body($0.baseAddress, $0.count) }
        }
    }

    private func submitTrailers(stream: Int32, _ block: HeaderBlock) {
        // SAFETY: the fields are copied by the call.
        unsafe withFields(block) { fields, count in
            _ = unsafe nghttp2_submit_trailer(session, stream, fields, count)
        }
    }

    private static let read: nghttp2_data_source_read_callback = {
        _, stream, buffer, length, flags, _, userData in
        // SAFETY: the library gives a buffer of that length and the place for flags, for the time
        // of the call.
        guard let session = unsafe owningSession(userData), let owner = session.owner,
            let flags = unsafe flags
        else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let buffer = unsafe UnsafeMutableBufferPointer(start: buffer, count: length)
        // SAFETY: as above.
        var room = unsafe MutableSpan(_unsafeElements: buffer)
        switch owner.fill(stream: stream, &room) {
        case .bytes(let count): return count
        case .later: return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        case .end(let count, let trailers):
            unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if let trailers {
                unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                session.submitTrailers(stream: stream, trailers)
            }
            return count
        }
    }

    private static func setCallbacks(_ callbacks: OpaquePointer?) {
        // SAFETY: the caller's callbacks are live, and the library calls these with the user data
        // that init sets, frames and bytes that live for the time of the call.
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) {
            _, frame, userData in
            guard let owner = unsafe owningSession(userData)?.owner, let frame = unsafe frame else {
                return 0
            }
            unsafe owner.headersBegan(
                stream: frame.pointee.hd.stream_id, HeaderKind(frame.pointee.headers.cat))
            return 0
        }
        // SAFETY: as above; name and value have the lengths given.
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameLength, value, valueLength, _, userData in
            guard let owner = unsafe owningSession(userData)?.owner, let frame = unsafe frame else {
                return 0
            }
            // SAFETY: as above.
            let name = unsafe UnsafeBufferPointer(start: name, count: nameLength)
            let value = unsafe UnsafeBufferPointer(start: value, count: valueLength)
            unsafe owner.receivedField(
                stream: frame.pointee.hd.stream_id, name: String(decoding: name, as: UTF8.self),
                value: Array(value))
            return 0
        }
        // SAFETY: as above; data has the length given.
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            _, _, stream, data, length, userData in
            guard let owner = unsafe owningSession(userData)?.owner else { return 0 }
            let data = unsafe UnsafeBufferPointer(start: data, count: length)
            owner.receivedData(stream: stream, unsafe Array(data))
            return 0
        }
        // SAFETY: as above.
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) {
            _, stream, code, userData in
            unsafe owningSession(userData)?.owner?.streamClosed(stream: stream, code: code)
            return 0
        }
        // SAFETY: as above.
        unsafe setFrameCallbacks(callbacks)
    }

    private static func setFrameCallbacks(_ callbacks: OpaquePointer?) {
        // SAFETY: as in `setCallbacks`.
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) {
            _, frame, userData in
            guard let frame = unsafe frame else { return 0 }
            // Answers end with trailers, or are nothing but one header block.
            if unsafe frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue),
                unsafe frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
            {
                unsafe owningSession(userData)?.owner?.sentEnd(stream: frame.pointee.hd.stream_id)
            }
            return 0
        }
        // SAFETY: as in `setCallbacks`.
        unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) {
            _, frame, _, userData in
            guard let frame = unsafe frame else { return 0 }
            // SAFETY: as in `setCallbacks`; a HEADERS frame has a category.
            if unsafe frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue),
                unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
            {
                unsafe owningSession(userData)?.owner?.notSent(stream: frame.pointee.hd.stream_id)
            }
            return 0
        }
        // SAFETY: as in `setCallbacks`.
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) {
            _, frame, userData in
            guard let owner = unsafe owningSession(userData)?.owner, let frame = unsafe frame else {
                return 0
            }
            // SAFETY: as above.
            let head = unsafe frame.pointee.hd
            let ends = head.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
            let isAnswer = head.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0
            switch UInt32(head.type) {
            case NGHTTP2_HEADERS.rawValue:
                // SAFETY: as above; a HEADERS frame has a category.
                let kind = unsafe HeaderKind(frame.pointee.headers.cat)
                owner.receivedHeaders(stream: head.stream_id, kind, endsStream: ends)
            case NGHTTP2_DATA.rawValue:
                if ends { owner.receivedEnd(stream: head.stream_id) }
            case NGHTTP2_PING.rawValue: owner.receivedPing(isAnswer: isAnswer)
            case NGHTTP2_GOAWAY.rawValue:
                // SAFETY: as above; a GOAWAY frame has a text of that length.
                let goAway = unsafe frame.pointee.goaway
                let text = unsafe UnsafeBufferPointer(
                    start: goAway.opaque_data, count: goAway.opaque_data_len)
                unsafe owner.receivedGoAway(
                    lastStream: goAway.last_stream_id, code: goAway.error_code,
                    text: Array(text))
            case NGHTTP2_SETTINGS.rawValue: if !isAnswer { owner.receivedSettings() }
            default: break
            }
            return 0
        }
    }
}

/// The object behind a callback's user data.
private func owningSession(_ userData: UnsafeMutableRawPointer?) -> HTTP2Session? {
    // SAFETY: the user data is set by init alone; the object outlives its session.
    guard let userData = unsafe userData else { return nil }
    return unsafe Unmanaged<HTTP2Session>.fromOpaque(userData).takeUnretainedValue()
}
