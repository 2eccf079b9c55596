package platform_test

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
)

// needCredentialManager skips where the tests would write among a person's own credentials: there is no way to open
// another Credential Manager than this user's.
func needCredentialManager(t *testing.T) {
	t.Helper()
	if os.Getenv("CI") != "true" {
		t.Skip("it would write to this user's Credential Manager; runs with CI=true")
	}
}

func TestCredentialManagerContract(t *testing.T) {
	needCredentialManager(t)
	platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, "keychain", "") })
	platformtest.TestLargest(t, openKeychain(t, "keychain", ""))
}

// TestPartsContract runs the store's logic over one in memory that holds Windows' limit.
func TestPartsContract(t *testing.T) {
	k := platform.NewPartsKeychain(t)
	platformtest.TestKeychain(t, func() platformtest.Keychain { return k })
	platformtest.TestLargest(t, k)
}

// TestCredentialManagerCrowd has fifty readers of a token set of three parts while one writer replaces it.
func TestCredentialManagerCrowd(t *testing.T) {
	needCredentialManager(t)
	const name, readers, writes = "contract-crowd", 50, 20
	k := openKeychain(t, "keychain", "")
	tokens := func(letter string) string { return strings.Repeat(letter, 6<<10) }
	if err := k.Set(t.Context(), name, tokens("0")); err != nil {
		t.Fatal(err)
	}
	defer k.Delete(t.Context(), name)
	var wg sync.WaitGroup
	var done atomic.Bool
	var readings atomic.Int64
	for range readers {
		wg.Go(func() {
			for !done.Load() {
				got, err := k.Get(t.Context(), name)
				if err != nil {
					t.Errorf("Get while the item is replaced: %v", err)
					return
				}
				if len(got) != 6<<10 || got != tokens(got[:1]) {
					t.Errorf("a reader saw %d bytes that were never written", len(got))
					return
				}
				readings.Add(1)
			}
		})
	}
	for i := 0; i < writes || readings.Load() < readers && !t.Failed(); i++ {
		if err := k.Set(t.Context(), name, tokens(string(rune('0'+i%10)))); err != nil {
			t.Errorf("Set while the item is read: %v", err)
			break
		}
	}
	done.Store(true)
	wg.Wait()
	t.Logf("%d readings", readings.Load())
}
