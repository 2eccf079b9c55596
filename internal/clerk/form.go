package clerk

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"unicode"
)

// CheckForm returns an error for a text that cannot be a token or a key, as build services, secret stores and shells hand it
// over instead of one. The error says what kind of text it is, never what is in it, and continues "the token ...".
//
// A bearer token is 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" (RFC 6750 §2.1).
func CheckForm(text string) error {
	if text == "" {
		return errors.New("is empty")
	}
	rest := strings.TrimRight(text, "=")
	if rest == "" || strings.ContainsFunc(rest, isNotBearer) {
		return errors.New(foreignForm(text))
	}
	switch {
	case isWord(text):
		return errors.New("is a word that stands for a missing or a hidden value")
	case isPath(text):
		return errors.New("is a path: a file with a token is named in CLERK_HELPER_TOKEN_FILE")
	case isEncoded(text):
		return errors.New("is a token or a key in base64: decode it first, as a Secret of Kubernetes needs it")
	}
	return nil
}

// isNotBearer reports whether a character is none of a bearer token, whose "=" at the end is not considered.
func isNotBearer(r rune) bool {
	letter := r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
	return !letter && !strings.ContainsRune("-._~+/", r)
}

// foreignForm says what kind of text it is that has characters which no token has.
func foreignForm(text string) string {
	first, last := text[0], text[len(text)-1]
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
	}
	begins := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.HasPrefix(strings.ToLower(text), part) })
	}
	switch {
	case strings.Trim(text, "\x00") == "":
		return "is nothing but zeros, as a full disk or a power cut leaves a file"
	case begins("\xff\xfe", "\xfe\xff"), has("\x00"):
		return "is UTF-16: write it as UTF-8, without a byte order mark"
	case begins("\ufeff"):
		return "begins with a byte order mark: write it as UTF-8 without one"
	case strings.TrimSpace(text) == "":
		return "is empty but for blanks"
	case has("***", "•••"), strings.Trim(text, "*") == "":
		return "is a log's mask, and not the value behind it"
	case isWord(text):
		return "is a word that stands for a missing or a hidden value"
	case has("$(", "${", "{{", "#{"), first == '$', first == '%' && last == '%', first == '!' && last == '!':
		return "is a variable's name that has not been replaced by its value"
	case strings.ContainsRune("\"'`", rune(first)), strings.ContainsRune("\"'`", rune(last)), begins("“", "‘", "«"):
		return "is in quotes: leave them out"
	case begins("-----begin"):
		return "is a PEM file, such as a certificate or a private key"
	case first == '{', first == '[':
		return "is JSON: take the token out of it"
	case first == '<':
		return "is a web page, or a placeholder in angle brackets"
	case begins("authorization", "bearer", "basic", "token"):
		return "has more of the header Authorization than the token: leave the rest out"
	case has("://"), begins("arn:", "vault:", "@microsoft."):
		return "is the address of a secret, and not the secret"
	case last == '\r':
		return "ends with a carriage return: leave it out"
	case last == '\n':
		return "has more than one line end behind it: leave them out"
	case has("\n", "\r"):
		return "has several lines"
	case strings.TrimSpace(text) != text:
		return "has a blank before or behind it: leave it out"
	case has("\x1b"):
		return "contains the colours of a terminal"
	case strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }):
		return "contains a character outside ASCII, which need not be visible: copy it again"
	case has(`\`):
		return "contains a backslash: a line end or a path was written into it"
	case strings.Contains(strings.TrimRight(text, "="), "="):
		return "is an assignment: leave the variable's name out"
	case has("%"):
		return "is percent-encoded: decode it first"
	}
	return "contains a character that no token has"
}

// isWord reports whether a text is what programs write in place of a value that is missing, or that they hide.
func isWord(text string) bool {
	switch strings.ToLower(strings.Trim(text, "()<>[]{} ")) {
	case "undefined", "null", "nil", "none", "nan", "true", "false", "object object", "changeme", "redacted", "masked", "filtered", "secure", "hidden":
		return true
	}
	return false
}

// isPath reports whether a text of a token's characters is the path of a file.
func isPath(text string) bool {
	return slices.ContainsFunc([]string{"./", "../", "~/", "/run/", "/var/", "/etc/", "/tmp/", "/home/", "/mnt/", "/opt/", "/root/", "/secrets/", "/vault/"},
		func(begin string) bool { return strings.HasPrefix(text, begin) })
}

// isEncoded reports whether a text is base64 of what is a token or a key by its beginning. Encoded, it would get past every
// check of those.
func isEncoded(text string) bool {
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil || strings.ContainsFunc(string(decoded), func(r rune) bool { return r > unicode.MaxASCII }) {
		return false
	}
	return slices.ContainsFunc([]string{"eyJ", "sk_", "pk_", "ak_", "mt_", "oat_"}, func(begin string) bool { return strings.HasPrefix(string(decoded), begin) })
}
