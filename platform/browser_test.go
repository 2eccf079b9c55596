package platform

import (
	"io"
	"testing"
)

func TestOpenBrowserRefusals(t *testing.T) {
	for _, row := range []struct{ reason, url string }{
		{"the authorize URL", "https://clerk.acme.dev/oauth/authorize?state=x"},
		{"another scheme", "https://127.0.0.1:8080/start/x"},
		{"a file", "file:///etc/passwd"},
		{"a program", "javascript:alert(1)"},
		{"no port", "http://127.0.0.1/start/x"},
		{"port 0", "http://127.0.0.1:0/start/x"},
		{"a port that is none", "http://127.0.0.1:99999/start/x"},
		{"a name", "http://localhost:8080/start/x"},
		{"another loopback address", "http://127.0.0.2:8080/start/x"},
		{"IPv6", "http://[::1]:8080/start/x"},
		{"the trick with user information", "http://127.0.0.1:8080@evil.example/start/x"},
		{"user information", "http://a@127.0.0.1:8080/start/x"},
		{"a host that only begins alike", "http://127.0.0.1.evil.example:8080/"},
		{"an option", "--new-window http://127.0.0.1:8080/"},
		{"a blank", "http://127.0.0.1:8080/a b"},
		{"a quote", "http://127.0.0.1:8080/'"},
		{"a shell's words", "http://127.0.0.1:8080/$(id)"},
		{"a second command for Windows", "http://127.0.0.1:8080/a&calc"},
		{"an escape", "http://127.0.0.1:8080/%27"},
		{"a line end", "http://127.0.0.1:8080/\n"},
		{"a fragment", "http://127.0.0.1:8080/#x"},
		{"empty", ""},
	} {
		none := func(string) string { return "" }
		if err := OpenBrowser(t.Context(), row.url, none, io.Discard, nil); err == nil || err.Error() == ErrNoBrowser.Error() {
			t.Errorf("%s: OpenBrowser(%q): %v, want a refusal of the URL", row.reason, row.url, err)
		}
	}
	for _, url := range []string{"http://127.0.0.1:8080/start/AZaz09-_", "http://127.0.0.1:1/", "http://127.0.0.1:65535/a?b=c.d~e"} {
		if err := checkLoopbackURL(url); err != nil {
			t.Errorf("checkLoopbackURL(%q): %v", url, err)
		}
	}
}
