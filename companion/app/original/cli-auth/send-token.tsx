"use client";
import { useEffect, useState } from "react";

export function SendToken({ port, state }: { port: string; state?: string }) {
  const [message, setMessage] = useState("Signing in to the command line…");
  useEffect(() => {
    const send = async () => {
      const response = await fetch("/original/api/cli-token", { method: "POST" });
      if (!response.ok) throw new Error(`status ${response.status}`);
      const { token } = await response.json();
      const echoed = state === undefined ? "" : `&state=${encodeURIComponent(state)}`;
      window.location.replace(`http://127.0.0.1:${port}/callback?token=${token}${echoed}`);
    };
    send().catch(() => setMessage("The sign-in failed."));
  }, [port, state]);
  return <p>{message}</p>;
}
