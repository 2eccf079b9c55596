// What the browser tests use of playwright-core, whose own types are not here: packages.mjs fetches it when they run.

type Text = string | RegExp;
type Waiting = { timeout?: number };
type Box = { x: number; y: number; width: number; height: number };
type Size = { width: number; height: number };
type Cookie = { name: string; value: string; secure?: boolean; sameSite?: string; url?: string };

/** What can be looked for: in a page, a frame, or an element. */
type Findable = {
  locator(selector: string, options?: { hasText?: Text; has?: Locator }): Locator;
  getByText(text: Text, options?: { exact?: boolean }): Locator;
  getByRole(role: string, options?: { name?: Text; exact?: boolean; disabled?: boolean }): Locator;
};

export type Locator = Findable & {
  ariaSnapshot(options?: Waiting): Promise<string>;
  boundingBox(): Promise<Box>; // null for what cannot be seen
  click(): Promise<void>;
  count(): Promise<number>;
  evaluate<T, E extends Element>(work: (element: E) => T): Promise<Awaited<T>>;
  fill(text: string): Promise<void>;
  filter(options: { hasText: Text }): Locator;
  first(): Locator;
  focus(): Promise<void>;
  getAttribute(name: string): Promise<string | null>;
  innerText(): Promise<string>;
  inputValue(): Promise<string>;
  selectOption(option: { label: string }): Promise<unknown>;
  waitFor(options?: Waiting): Promise<void>;
};

export type Request = {
  url(): string;
  method(): string;
  resourceType(): string;
  allHeaders(): Promise<Record<string, string>>;
};
export type Response = { url(): string; status(): number; request(): Request; text(): Promise<string> };
export type Route = { abort(): Promise<void> };
export type Frame = Findable & { url(): string; waitForLoadState(): Promise<void> };

export type Page = Findable & {
  keyboard: { type(text: string): Promise<void>; press(key: string): Promise<void> };
  request: { get(url: string, options: { headers: Record<string, string> }): Promise<Response> };
  addInitScript(script: () => void): Promise<unknown>;
  bringToFront(): Promise<void>;
  content(): Promise<string>;
  emulateMedia(options: { colorScheme: "light" | "dark" }): Promise<void>;
  evaluate<T>(work: string | (() => T)): Promise<Awaited<T>>;
  evaluate<T, A>(work: (argument: A) => T, argument: A): Promise<Awaited<T>>;
  frame(name: string): Frame; // null for one that is not there
  goto(url: string, options?: { waitUntil: "commit" }): Promise<Response>;
  screenshot(options: {
    path: string;
    timeout?: number;
    animations?: "disabled";
    fullPage?: boolean;
  }): Promise<unknown>;
  setViewportSize(size: Size): Promise<void>;
  title(): Promise<string>;
  url(): string;
  viewportSize(): Size;
  waitForEvent(event: "load"): Promise<unknown>;
  waitForEvent(event: "requestfailed", fits: (request: Request) => boolean): Promise<Request>;
  waitForEvent(event: "response", fits: (response: Response) => boolean): Promise<Response>;
  waitForFunction(work: () => boolean): Promise<unknown>;
  waitForFunction<A>(work: (argument: A) => boolean, argument: A): Promise<unknown>;
  waitForRequest(url: string): Promise<Request>;
  waitForResponse(url: string): Promise<Response>;
  waitForURL(url: Text): Promise<void>;
};

export type Context = {
  addCookies(cookies: Cookie[]): Promise<void>;
  addInitScript<A>(script: (argument: A) => void, argument: A): Promise<unknown>;
  close(): Promise<void>;
  cookies(url: string): Promise<Cookie[]>;
  newCDPSession(page: Page): Promise<{ send(method: string): Promise<{ entries: { url: string }[] }> }>;
  newPage(): Promise<Page>;
  on(event: "console", hear: (message: { type(): string; text(): string }) => void): void;
  on(event: "weberror", hear: (failed: { error(): Error }) => void): void;
  on(event: "request", hear: (request: Request) => void): void;
  on(event: "response", hear: (response: Response) => void): void;
  pages(): Page[];
  route(url: string, answer: (route: Route) => Promise<void>): Promise<unknown>;
  setDefaultTimeout(milliseconds: number): void;
  unroute(url: string): Promise<void>;
};

export type Browser = { newContext(options: object): Promise<Context>; close(): Promise<void> };
