// Package companion holds the files of the companion page that a company copies into its own Next.js app. The page itself
// is TypeScript, beside this file; "clerk-credential-helper companion add" writes it.
package companion

import (
	"archive/zip"
	"bytes"
	"embed"
	"io/fs"
)

// Version is the version of the page's files, by Semantic Versioning: that of package.json, and of
// lib/cli-auth/version.ts, which a deployed page names. A release whose files differ from those of the last one has
// another.
const Version = "1.1.0"

// all: because Next.js gives names with a dot or an underscore in front a meaning.
//
//go:embed all:app/cli-auth all:app/api/cli-auth all:app/.well-known all:lib/cli-auth
var files embed.FS

// Files are the files to copy, below app and lib. They import nothing but each other, next, react, @clerk/nextjs and
// jose; two of them load redis or pg where a store needs it.
func Files() fs.FS { return files }

// PostgresTables is the SQL that makes the tables of the store in PostgreSQL.
//
//go:embed postgres.sql
var PostgresTables string

// Proxy is a proxy.ts (middleware.ts before Next.js 16) for an app that has none.
//
//go:embed proxy.ts
var Proxy string

// Layout is an app/cli-auth/layout.tsx for an app that has no layout above it.
//
//go:embed cli-auth-layout.tsx
var Layout string

// The page's files as earlier versions had them, to tell what an app's own changes are. Before Version is raised, those
// of the last release are put there, from the top of the tree:
//
//	git archive --format=zip -9 -o companion/shipped/1.1.0.zip TAG:companion app/cli-auth app/api/cli-auth \
//		app/.well-known lib/cli-auth proxy.ts cli-auth-layout.tsx
//
//go:embed shipped
var shipped embed.FS

// Shipped returns a file, named as in [Files], as an earlier version had it. It is nil if that version had no such
// file, or is not known here.
func Shipped(version, name string) []byte {
	archive, err := shipped.ReadFile("shipped/" + version + ".zip")
	if err != nil {
		return nil
	}
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil
	}
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil
	}
	return text
}
