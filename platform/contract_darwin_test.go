//go:build cgo

package platform_test

import (
	"os"
	"testing"

	"clerk-credential-helper/platform/platformtest"
)

// TestMacKeychainContract needs the login keychain: the library cannot choose another one.
func TestMacKeychainContract(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("it would write to this user's login keychain; runs with CI=true")
	}
	platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, "keychain", "") })
	platformtest.TestLargest(t, openKeychain(t, "keychain", ""))
}
