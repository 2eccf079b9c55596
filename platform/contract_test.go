package platform_test

import (
	"path/filepath"
	"testing"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
)

func TestFileContract(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, "file", dir) })
}

// TestPartsContract runs the Windows store's logic over a store that holds Windows' limit.
func TestPartsContract(t *testing.T) {
	k := platform.NewPartsKeychain(t)
	platformtest.TestKeychain(t, func() platformtest.Keychain { return k })
}

func openKeychain(t *testing.T, choice, dir string) *platform.Keychain {
	t.Helper()
	k, err := platform.OpenKeychain(choice, dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
