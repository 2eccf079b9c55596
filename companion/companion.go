// Package companion holds the files of the companion page that a company copies into its own Next.js app. The page itself
// is TypeScript, beside this file; "clerk-credential-helper companion add" writes it.
package companion

import (
	"embed"
	"io/fs"
)

// all: because Next.js gives names with a dot or an underscore in front a meaning.
//
//go:embed all:app/cli-auth all:app/api/cli-auth all:app/.well-known all:lib/cli-auth
var files embed.FS

// Files are the files to copy, below app and lib. They import nothing but each other, next, react, @clerk/nextjs and jose.
func Files() fs.FS { return files }

// Proxy is a proxy.ts (middleware.ts before Next.js 16) for an app that has none.
//
//go:embed proxy.ts
var Proxy string
