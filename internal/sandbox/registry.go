package sandbox

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RegistryMode is how an OCI registry authenticates its callers.
type RegistryMode int

const (
	// RegistryBasic expects an access token of the sandbox as the password of Basic.
	RegistryBasic RegistryMode = iota
	// RegistryToken expects a token of its own, which its token service at /token issues for an access token of the
	// sandbox: distribution.github.io/distribution/spec/auth/token and .../oauth.
	RegistryToken
)

const (
	registryService  = "sandbox-registry"
	registryLifetime = time.Minute // the least that the specification allows

	// Docker's media types, since every client knows them, also those from before OCI's.
	manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	configType   = "application/vnd.docker.container.image.v1+json"
	layerType    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Registry serves a read-only OCI registry with the one image demo/hello:latest to every client with an access token of
// s, in the way that mode says.
func (s *Server) Registry(mode RegistryMode) http.Handler {
	blobs, manifest, err := demoImage()
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		})
	}
	mux := http.NewServeMux()
	protect := func(pattern string, answer http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
			if err := s.mayRead(mode, r); err != nil {
				w.Header().Set("WWW-Authenticate", challenge(mode, r))
				registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
				return
			}
			answer(w, r)
		})
	}
	protect("GET /v2/{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, struct{}{})
	})
	protect("GET /v2/demo/hello/tags/list", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"name": "demo/hello", "tags": []string{"latest"}})
	})
	protect("GET /v2/demo/hello/manifests/{reference}", func(w http.ResponseWriter, r *http.Request) {
		if ref := r.PathValue("reference"); ref != "latest" && ref != digest(manifest) {
			registryError(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
			return
		}
		writeContent(w, manifestType, manifest)
	})
	protect("GET /v2/demo/hello/blobs/{digest}", func(w http.ResponseWriter, r *http.Request) {
		blob, ok := blobs[r.PathValue("digest")]
		if !ok {
			registryError(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown")
			return
		}
		writeContent(w, "application/octet-stream", blob)
	})
	protect("/v2/", func(w http.ResponseWriter, _ *http.Request) {
		registryError(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
	})
	if mode == RegistryToken {
		mux.HandleFunc("GET /token", s.serveRegistryToken)
		mux.HandleFunc("POST /token", s.serveRegistryToken)
	}
	return mux
}

// mayRead returns why a request may not be answered, or nil.
func (s *Server) mayRead(mode RegistryMode, r *http.Request) error {
	if mode == RegistryBasic {
		_, password, ok := r.BasicAuth()
		if !ok {
			return errors.New("no Basic authentication")
		}
		_, err := s.Verify(password)
		return err
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	until, known := s.registry[token]
	if !ok || !known || !s.now().Before(until) {
		return errors.New("no token of this registry")
	}
	return nil
}

// challenge is the WWW-Authenticate field of a 401.
func challenge(mode RegistryMode, r *http.Request) string {
	if mode == RegistryBasic {
		return fmt.Sprintf(`Basic realm=%q`, registryService)
	}
	base := "http://" + r.Host
	if r.TLS != nil {
		base = "https://" + r.Host
	}
	return fmt.Sprintf(`Bearer realm="%s/token",service=%q,scope="repository:demo/hello:pull"`, base, registryService)
}

// serveRegistryToken gives a registry token. GET proves itself by Basic, POST by OAuth's refresh_token (docker's
// "<token>" user name) or password grant; each carries an access token of the sandbox.
func (s *Server) serveRegistryToken(w http.ResponseWriter, r *http.Request) {
	var params url.Values
	var proof string
	if r.Method == http.MethodPost {
		form, ok := readForm(w, r)
		if !ok {
			writeError(w, refuse(http.StatusBadRequest, "invalid_request", "the body is not a form"))
			return
		}
		params = form
		switch form.Get("grant_type") {
		case "refresh_token":
			proof = form.Get("refresh_token")
		case "password":
			proof = form.Get("password")
		default:
			writeError(w, refuse(http.StatusBadRequest, "unsupported_grant_type", "the grant type is not supported"))
			return
		}
	} else {
		params = r.URL.Query()
		_, proof, _ = r.BasicAuth()
	}
	if params.Get("service") != registryService {
		writeError(w, refuse(http.StatusBadRequest, "invalid_request", "the service is not known"))
		return
	}
	if _, err := s.Verify(proof); err != nil {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Basic realm=%q`, registryService))
		registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	s.mu.Lock()
	now := s.now()
	for token, until := range s.registry {
		if !now.Before(until) {
			delete(s.registry, token)
		}
	}
	token := s.note("registry_" + rand.Text())
	s.registry[token] = now.Add(registryLifetime)
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"token": token, "access_token": token, "issued_at": now.UTC(),
		"expires_in": int(registryLifetime / time.Second), "scope": "repository:demo/hello:pull"})
}

// registryError answers in the form of the OCI distribution specification, "Error Codes".
func registryError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

func writeContent(w http.ResponseWriter, kind string, content []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.Header().Set("Docker-Content-Digest", digest(content))
	_, _ = w.Write(content)
}

func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// demoImage makes an image with one file in one layer: its blobs by digest, and its manifest. It is the same one each
// time.
func demoImage() (blobs map[string][]byte, manifest []byte, err error) {
	files, err := tarball("hello.txt", "Hello from the sandbox.\n")
	if err != nil {
		return nil, nil, fmt.Errorf("making a layer: %w", err)
	}
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	if _, err := z.Write(files); err != nil {
		return nil, nil, fmt.Errorf("making a layer: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, nil, fmt.Errorf("making a layer: %w", err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
		"config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(files)}},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("making a configuration: %w", err)
	}
	describe := func(kind string, content []byte) map[string]any {
		return map[string]any{"mediaType": kind, "size": len(content), "digest": digest(content)}
	}
	manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": describe(configType, config),
		"layers": []any{describe(layerType, layer.Bytes())},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("making a manifest: %w", err)
	}
	return map[string][]byte{digest(config): config, digest(layer.Bytes()): layer.Bytes()}, manifest, nil
}

// tarball makes a tar archive of one file.
func tarball(name, content string) ([]byte, error) {
	var archive bytes.Buffer
	t := tar.NewWriter(&archive)
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1767225600, 0)}
	if err := t.WriteHeader(h); err != nil {
		return nil, err
	}
	if _, err := t.Write([]byte(content)); err != nil {
		return nil, err
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}
