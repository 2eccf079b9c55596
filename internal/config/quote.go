package config

import (
	"bytes"
	"fmt"
	"strings"
)

// Quote returns a text as a basic string of TOML 1.0. It does not make invalid text valid: Parse refuses it.
func Quote(s string) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// NameFor returns a profile's name for a host: "acme" for git.acme.dev, and "default" if the host suggests none.
func NameFor(host string) string {
	host, _, _ = strings.Cut(host, ":")
	labels := strings.Split(strings.ToLower(host), ".")
	if len(labels) < 2 || strings.Trim(host, "0123456789.") == "" {
		return "default"
	}
	name := labels[len(labels)-2]
	if name == "file" || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return "default"
	}
	return name
}
