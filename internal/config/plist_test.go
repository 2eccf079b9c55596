package config

import (
	"slices"
	"strings"
	"testing"

	"howett.net/plist"
)

// TestPropertyList: what a configuration profile of macOS says means what the table [policy] means, in both forms of a property
// list.
func TestPropertyList(t *testing.T) {
	const at = "/Library/Managed Preferences/clerk-credential-helper.plist"
	for _, row := range []struct {
		reason, value, toml string // the key's value as XML, and its line
		want                string // in the error; empty for none
	}{
		{"a text", "<key>profiles</key><string>fixed</string>", `profiles = "fixed"`, ""},
		{"a list", "<key>hosts</key><array><string>*.acme.dev</string><string>git.acme.com:8443</string></array>", `hosts = ["*.acme.dev", "git.acme.com:8443"]`, ""},
		{"a list of words", "<key>stores</key><array><string>keychain</string></array>", `stores = ["keychain"]`, ""},
		{"sources", "<key>sources</key><array><string>session</string></array>", `sources = ["session"]`, ""},
		{"false", "<key>with_token</key><false/>", `with_token = false`, ""},
		{"true", "<key>legacy_page</key><true/>", `legacy_page = true`, ""},
		{"the history", "<key>history</key><false/>", `history = false`, ""},
		{"a version", "<key>minimum_version</key><string>1.2.0</string>", `minimum_version = "1.2.0"`, ""},

		{"an unknown key", "<key>store</key><string>keychain</string>", "", `unknown value "store": did you mean "stores"?`},
		{"a text for a list", "<key>stores</key><string>keychain</string>", "", "stores: want a list of some of"},
		{"a list that is not of texts", "<key>hosts</key><array><integer>1</integer></array>", "", "hosts: want a list of hosts"},
		{"a list that is empty", "<key>stores</key><array></array>", "", "stores: want a list of some of"},
		{"a number for a flag", "<key>with_token</key><integer>0</integer>", "", "with_token: want true or false"},
		{"a text for a flag", "<key>history</key><string>false</string>", "", "a list is an array of strings, true or false a boolean"},
		{"a dictionary", "<key>profiles</key><dict></dict>", "", "profiles: want one of"},
		{"no version", "<key>minimum_version</key><real>1.2</real>", "", "minimum_version: "},
	} {
		text := `<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd"><plist version="1.0"><dict>` + row.value + "</dict></plist>"
		var settings map[string]any
		if _, err := plist.Unmarshal([]byte(text), &settings); err != nil {
			t.Fatal(row.reason, err)
		}
		binary, err := plist.Marshal(settings, plist.BinaryFormat)
		if err != nil {
			t.Fatal(row.reason, err)
		}
		for _, form := range [][]byte{[]byte(text), binary} {
			var settings map[string]any
			if _, err := plist.Unmarshal(form, &settings); err != nil {
				t.Fatal(row.reason, err)
			}
			got, err := ParsePolicy(at, settings)
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), at+": ") {
					t.Errorf("%s: %v", row.reason, err)
				}
				continue
			}
			want := mustParse(t, "machine", "[policy]\n"+row.toml+"\n").Policy
			if err != nil || got.String() != want.String() || got.At != at || !slices.EqualFunc(got.Hosts, want.Hosts, func(a, b Host) bool { return a.String() == b.String() }) {
				t.Errorf("%s: %v, %v; want %v", row.reason, got, err, want)
			}
		}
	}
}
