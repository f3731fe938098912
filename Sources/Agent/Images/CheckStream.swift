internal import AgentAPI
internal import AgentOperations
internal import ImageStore
internal import LinuxKernel
internal import RPC

/// One call of `Check`.
struct CheckStream {
    let request: CheckRequest
    let call: TypedCall<CheckRequest, CheckResponse>
    let node: NodeAgent

    func begin() {
        guard !request.withoutContent else { return answerAtOnce() }
        let total = node.stored.contents.usage.bytes
        let telling = Telling<UInt64>(on: node.loop) { [call] done in
            guard call.isOpen, call.isWritable else { return }
            var progress = CheckResponse.Progress()
            progress.bytesDone = done
            progress.bytes = max(total, done)
            call.send(CheckResponse(kind: .progress(progress)))
        }
        if call.isOpen { call.onCancel { _ in telling.stop() } }
        let depot = node.stored.depot
        node.withStore(on: depot.importers) { () throws(ImageError) in
            try depot.store.check { telling.note($0) && depot.isOpen }
        } then: { result in
            finish(result)
        }
    }

    private func finish(_ result: Result<StoreCheck, CallFailure>) {
        node.stored.refresh(on: node) { _ in
            switch result {
            case .success(let check):
                forgetDamaged()
                var answer = CheckResponse.Result()
                answer.sound = check.isSound
                answer.layers = UInt32(clamping: check.layers)
                answer.bytes = check.bytes
                answer.problems = check.problems.map { CheckResponse.Problem($0) }
                if !check.isSound {
                    node.log.warning(
                        "the store of images is damaged",
                        ["problems": .integer(Int64(check.problems.count))])
                }
                call.finish(with: CheckResponse(kind: .result(answer)))
            case .failure(let failure): call.finish(failure)
            }
        }
    }

    /// Sandboxes that run keep what they have; new ones are made of mended layers alone.
    private func forgetDamaged() {
        let depot = node.stored.depot
        node.undertakers.run { depot.forgetRemoved() }
    }

    /// From what is known without reading the layers.
    private func answerAtOnce() {
        node.stored.refresh(on: node) { refreshed in
            do throws(CallFailure) {
                try refreshed.get()
                var images: [String: [String]] = [:]
                for image in node.stored.contents.images {
                    for layer in image.summary.damagedLayers {
                        images["\(layer)", default: []].append(image.title)
                    }
                }
                var answer = CheckResponse.Result()
                answer.sound = images.isEmpty
                answer.layers = node.stored.contents.usage.layers
                answer.problems = images.sorted { $0.key < $1.key }.map { layer, images in
                    var problem = CheckResponse.Problem()
                    problem.kind = StoreProblem.Kind.damagedLayer.rawValue
                    problem.subject = layer
                    problem.images = images
                    problem.message = "layer \(layer) is missing or damaged"
                    return problem
                }
                call.finish(with: CheckResponse(kind: .result(answer)))
            } catch {
                call.finish(error)
            }
        }
    }
}

extension CheckResponse.Problem {
    init(_ problem: StoreProblem) {
        self.init(
            kind: problem.kind.rawValue, subject: problem.subject, images: problem.images,
            message: problem.message)
    }
}
