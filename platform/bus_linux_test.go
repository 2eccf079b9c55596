package platform

import (
	"clerk-credential-helper/internal/testworld"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// startProxy runs xdg-dbus-proxy before the bus, as Flatpak does for a program that may talk to the Secret Service, and returns
// its address.
func (b *sessionBus) startProxy(t testing.TB) string {
	t.Helper()
	need(t, "xdg-dbus-proxy")
	dir, err := os.MkdirTemp("", "proxy") // short enough for a socket, which t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close() }) // which ends the proxy
	path := filepath.Join(dir, "bus")
	cmd := exec.Command("xdg-dbus-proxy", "--fd=3", b.address, path, "--filter", "--talk="+secretsName)
	cmd.ExtraFiles, cmd.Env = []*os.File{write}, b.Env
	testworld.Background(t, cmd)
	write.Close()
	if _, err := io.ReadFull(read, make([]byte, 1)); err != nil {
		t.Fatalf("xdg-dbus-proxy does not come up: %v", err)
	}
	return "unix:path=" + path
}

// TestSecretServiceThroughProxy: xdg-dbus-proxy 0.1.4 ends a connection whose handshake and first messages come in one write.
func TestSecretServiceThroughProxy(t *testing.T) {
	s := startKeyring(t)
	k := keychainOn(s.startProxy(t))
	for range 20 {
		if err := k.Set(t.Context(), "item", "secret"); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Get(t.Context(), "item"); err != nil || got != "secret" {
			t.Fatalf("Get = %q, %v", got, err)
		}
	}
	if err := k.Unlock(t.Context(), nil); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	if err := k.Delete(t.Context(), "item"); err != nil {
		t.Errorf("Delete: %v", err)
	}
}
