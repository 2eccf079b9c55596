// What the tests use of pg, which brings no types.

declare class Client {
  constructor(options: { host: string; port: number; user: string; database: string });
  on(event: "error", hear: (error: Error) => void): this;
  connect(): Promise<void>;
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number }>;
  end(): Promise<void>;
}

export default { Client };
