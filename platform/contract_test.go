package platform_test

import (
	"context"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
)

func TestFileContract(t *testing.T) {
	dir := filepath.Join(platform.TempDir(t), "state")
	platformtest.TestKeychain(t, func() platformtest.Keychain {
		k := openKeychain(t, "file", dir)
		if runtime.GOOS == "windows" {
			return paced{k}
		}
		return k
	})
	platformtest.TestLargest(t, openKeychain(t, "file", dir))
}

// paced is a keychain whose readers pause. Windows replaces no file that another process has open, and three readers
// that never pause leave it open for good.
type paced struct{ platformtest.Keychain }

func (p paced) Get(ctx context.Context, name string) (string, error) {
	time.Sleep(10 * time.Millisecond)
	return p.Keychain.Get(ctx, name)
}

func openKeychain(t *testing.T, choice, dir string) *platform.Keychain {
	t.Helper()
	k, err := platform.OpenKeychain(choice, dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
