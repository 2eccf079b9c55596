package platform_test

import (
	"os"
	"testing"

	"clerk-credential-helper/platform/platformtest"
)

// TestCredentialManagerContract needs the real Credential Manager: there is no way to open another one.
func TestCredentialManagerContract(t *testing.T) {
	if os.Getenv("CI") != "true" {
		t.Skip("it would write to this user's Credential Manager; runs with CI=true")
	}
	platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, "keychain", "") })
}
