import Foundation

/// An archive as `docker save` writes it, made by tar and sha256sum.
public enum SavedImage {
    /// - Parameters:
    ///   - layers: directories, the lowest first; each becomes a layer, owned by root.
    ///   - config: the members of its configuration's `config`, as JSON.
    ///   - name: what it is named in the archive.
    public static func make(
        _ path: String, layers: [String], config: String = "", name: String = "app:1"
    ) throws {
        let script = """
            path=$1 config=$2 name=$3
            shift 3
            folder=$(mktemp -d)
            trap 'rm -rf "$folder"' EXIT
            digests= files=
            for layer; do
                file=layer-$#.tar
                tar -C "$layer" --owner=0 --group=0 --sort=name -cf "$folder/$file" .
                read -r digest _ < <(sha256sum "$folder/$file")
                digests="$digests${digests:+,}\\"sha256:$digest\\""
                files="$files${files:+,}\\"$file\\""
                shift
            done
            case $(uname -m) in aarch64) machine=arm64 ;; *) machine=amd64 ;; esac
            cd "$folder"
            printf '{"os":"linux","architecture":"%s","config":{%s},"rootfs":{"type":"layers",' \\
                "$machine" "$config" >config.json
            printf '"diff_ids":[%s]}}' "$digests" >>config.json
            printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":[%s]}]' \\
                "$name" "$files" >manifest.json
            tar -cf "$path" manifest.json config.json layer-*.tar
            """
        let result = try run(
            "bash",
            arguments: ["-euo", "pipefail", "-c", script, "save", path, config, name]
                + layers)
        guard result.succeeded else { throw Failure(result: "\(result)") }
    }

    public struct Failure: Error {
        public let result: String
    }
}
