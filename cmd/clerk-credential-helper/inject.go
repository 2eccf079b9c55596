package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"clerk-credential-helper/internal/config"
)

// injectedLimit bounds a file that holds a token.
const injectedLimit = 16 << 10

// injected finds a token that the environment brings: CLERK_HELPER_TOKEN_PROFILE for one profile by name, or
// CLERK_HELPER_TOKEN or CLERK_HELPER_TOKEN_FILE for the only profile or the one that CLERK_HELPER_PROFILE names.
func (sys *system) injected(cfg *config.Config) func(*config.Profile) (token, source string, err error) {
	return func(p *config.Profile) (token, source string, err error) {
		variable := "CLERK_HELPER_TOKEN_" + strings.ReplaceAll(strings.ToUpper(p.Name), "-", "_")
		if token := sys.getenv(variable); token != "" {
			return token, variable, nil
		}
		token, file := sys.getenv("CLERK_HELPER_TOKEN"), sys.getenv("CLERK_HELPER_TOKEN_FILE")
		if token == "" && file == "" {
			return "", "", nil
		}
		if token != "" && file != "" {
			return "", "", &configurationError{errors.New("CLERK_HELPER_TOKEN and CLERK_HELPER_TOKEN_FILE are both set: keep one")}
		}
		switch named := sys.getenv("CLERK_HELPER_PROFILE"); {
		case named == "" && len(cfg.Profiles) > 1:
			return "", "", &configurationError{fmt.Errorf("CLERK_HELPER_TOKEN could be for any of the profiles %s: name one in CLERK_HELPER_PROFILE, or set %s", names(cfg), variable)}
		case named != "" && named != p.Name:
			return "", "", nil
		}
		if token != "" {
			return token, "CLERK_HELPER_TOKEN", nil
		}
		text, err := readToken(file)
		if err != nil {
			return "", "", &configurationError{fmt.Errorf("CLERK_HELPER_TOKEN_FILE: %w", err)}
		}
		return text, "CLERK_HELPER_TOKEN_FILE", nil
	}
}

// readToken reads a token's file. Who else may read it is the business of whoever mounted it there (Kubernetes and
// BuildKit have ways of their own), and it may be a pipe.
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, injectedLimit+1)) // one that is too long is refused as a token
	if err != nil {
		return "", err
	}
	return string(bytes.TrimRight(text, "\r\n")), nil
}
