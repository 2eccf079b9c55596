// Prints how the URL parser of the WHATWG (url.spec.whatwg.org), which browsers and node share, reads addresses that are
// made to be misread: one JSON array on each line, [address, protocol, hostname, port], or [address] if it is no URL.
//
//	node whatwg.js > whatwg.jsonl      what FuzzHosts compares with
//	node whatwg.js -                   the same for addresses on standard input, each a line of JSON
"use strict";

function read(address) {
	try {
		const u = new URL(address);
		return JSON.stringify([address, u.protocol, u.hostname, u.port]);
	} catch {
		return JSON.stringify([address]);
	}
}

function* addresses() {
	const host = "git.acme.dev";
	const pieces = [
		"@", ":", "/", "\\", "?", "#", "%", ";", ",", "&", "=", "+", "-", "_", "~", "!", "$", "'", "(", ")", "*", "[", "]", "<", ">", "^", "`", "{", "|",
		"}", '"', " ", "\t", "\n", "\r", "\0", "\x7f", "%2e", "%2E", "%00", "%2f", "%5c", "%40", "%3a", "%23", "%09", "%20", "%e3%80%82", "%zz",
		".", "..", "@@", "://", "\\@", "#@", "?@", "/@", ";@", ":@", ":80", ":443", ":0443", ":8443", ":80@", "[]", "[::1]", "://@",
		"\u00ad", "\u200b", "\u200d", "\u2060", "\ufeff", "\uff0e", "\u3002", "\uff61", "\uff0f", "\u2044", "\uff20", "\uff1a", "\uff03", "\uff3c",
		"\u212a", "\u0130", "\u0131", "\u00df", "\u00e9", "\u0430", "\u202e", "\u2100", "\u2025", "\u2024", "\uff41", "\u1e9e", "\u0000", "xn--", "\ud83d\ude00",
	];
	for (const scheme of ["https://", "http://", "HTTPS://"]) {
		for (const p of pieces) {
			yield scheme + p + host + "/x";
			yield scheme + host + p;
			yield scheme + host + p + "evil.dev/x";
			yield scheme + "evil.dev" + p + host + "/x";
			yield scheme + "git" + p + "acme.dev/x";
			yield scheme + "git." + p + "acme.dev";
			yield scheme + "bob:hunter2" + p + host + "@evil.dev";
			yield scheme + host + p + "@evil.dev";
		}
	}
	for (const scheme of ["https:", "https:/", "https:\\\\", "https:/\\", "https:///", "https:////", "//", "/\\", "", " https://", "\thttps://", "ht\ntps://", "https ://",
		"https\0://", "https%3a//", "ftp://", "ssh://", "git+https://", "sparse+https://", "grpcs://", "grpc://", "ws://", "wss://", "file://", "javascript:",
		"javascript://", "data:", "blob:https://", "view-source:https://", "http:https://", "https://https://", "://", ":", "h\u0074tps://", "\uff48ttps://"]) {
		for (const rest of [host, host + "/x", host + ":443", "evil.dev/" + host, "clerk@" + host, "evil.dev@" + host, host + "@evil.dev", "127.0.0.1:8080", "localhost:3000"]) {
			yield scheme + rest;
		}
	}
	for (const scheme of ["https://", "http://"]) {
		for (const loopback of ["127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.01", "127.0.0.1.",
			"127.0.0.1..", "127.0.0.001", "127.0.0.1%00", "127.0.0.256", "127.0.0.1.evil.dev", "0", "0.0.0.0", "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021",
			"[::1]", "[0:0::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::1%25lo]", "[::1%lo]", "[::1].", "[[::1]]", "::1", "[0:0:0:0:0:0:0:1]", "[::0001]",
			"localhost", "localhost.", "LOCALHOST", "local\u00adhost", "loc\u0430lhost", "a.localhost", "\u2113ocalhost", "localho\u017ft"]) {
			for (const port of ["", ":80", ":443", ":8080", ":3000", ":5000", ":08080", ":+8080", ":8080x", ":", ":73616", ":-1", ":8080:1"]) {
				yield scheme + loopback + port + "/x";
			}
		}
		for (const name of ["a.pkg.acme.dev", "A.PKG.acme.dev.", ".pkg.acme.dev", "pkg.acme.dev", "a.b.pkg.acme.dev", "*.pkg.acme.dev", "-.pkg.acme.dev", "a\u3002pkg.acme.dev", "xn--a.pkg.acme.dev",
			"xn--.pkg.acme.dev", "a_b.pkg.acme.dev", "a%2eb.pkg.acme.dev", "b\u00fccher.example", "xn--bcher-kva.example", "XN--BCHER-KVA.example", "bu\u0308cher.example", "b\u00dccher.example",
			"xn--bcher-kv.example", "kelvin.example", "\u212aelvin.example", "registry:5000", "registry:05000", "registry.:5000", "REGISTRY:5000", "registry:5000@evil.dev", "evil.dev:5000@registry:5000"]) {
			yield scheme + name + "/x";
			yield scheme + name;
		}
	}
}

if (process.argv[2] === "-") {
	require("readline").createInterface({ input: process.stdin }).on("line", line => process.stdout.write(read(JSON.parse(line)) + "\n"));
} else {
	const all = new Set(addresses());
	process.stdout.write([...all].map(read).join("\n") + "\n");
}
