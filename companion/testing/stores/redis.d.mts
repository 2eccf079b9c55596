// What the tests use of redis: its own types, of every command there is, take the checker seconds.

type Client = {
  on(event: "error", hear: (error: Error) => void): void;
  connect(): Promise<unknown>;
  sendCommand(words: string[]): Promise<unknown>;
  destroy(): void;
};

type Options = {
  url?: string;
  password?: string;
  socket: { host?: string; port?: number; reconnectStrategy: false };
};

export function createClient(options: Options): Client;
