package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestRegistryClient has go-containerregistry, the client in crane, ko and cosign, find the helper in docker's
// configuration, as itself would, and read an image from a Basic registry and from one with a token service.
func TestRegistryClient(t *testing.T) {
	w, vars, err := newWorld(t.TempDir(), t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range vars {
		t.Setenv(name, value)
	}
	ca, err := os.ReadFile(vars["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)

	for _, registry := range []string{vars["BASIC"], vars["REGISTRY"]} {
		image, err := name.ParseReference(registry + "/demo/hello:latest")
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := remote.Get(image, remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(transport), remote.WithContext(t.Context()))
		if err != nil {
			t.Errorf("%s: %v", registry, err)
		} else if len(manifest.Manifest) == 0 {
			t.Errorf("%s: an empty manifest", registry)
		}
	}
	if n := w.Clerk.Count("authorize"); n != 1 {
		t.Errorf("%d sign-ins for two registries of one profile, not one", n)
	}
}
