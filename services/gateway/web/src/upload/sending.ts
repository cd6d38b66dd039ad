/** Sends files to the object store: Uppy and its S3 plug-in, with URLs that Kappi signs. */

import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";
import type { Plan } from "./database";

/** One signed PUT. */
export interface Signed {
  url: string;
  headers: Record<string, string>;
}

export interface Transfer {
  key: string;
  file: File;
  type: string;
  plan: Plan;
  /** Returns a URL; number: of the part, 0 for the whole file. */
  sign(number: number): Promise<Signed>;
  /** Returns the ETags of the parts that need not be sent. */
  present(): Promise<Record<number, string>>;
  progressed(bytes: number): void;
  acknowledged(number: number, etag: string): void;
}

/** The store refused a request. status: 0 if the connection failed. */
export class StoreRefusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(`${status} ${code}`);
  }
}

/** A connection on which nothing moved for so long is given up. */
const STALLED_MS = 30_000;
const QUIET = { debug: () => {}, warn: () => {}, error: () => {} };

interface Running {
  transfer: Transfer;
  fileId: string;
  movedAt: number;
  isSigning: boolean;
  end(failure?: unknown): void;
}

export class Sender {
  readonly #uppy = new Uppy({ autoProceed: false, logger: QUIET });
  readonly #running = new Map<string, Running>();
  readonly #watch = setInterval(() => this.#restartStalled(), 5000);
  #resumed: Promise<void> | undefined;
  #endPause: () => void = () => {};
  #partSize = 0;

  constructor() {
    this.#uppy.use(AwsS3, {
      limit: 0, // the caller decides how many files are sent at once
      allowedMetaFields: false,
      generateObjectKey: (file) => file.name,
      // The plug-in asks for the size of parts directly after this, and without naming the file.
      shouldUseMultipart: (file) => {
        const { plan } = this.#of(file.name).transfer;
        this.#partSize = plan.partSize;
        return plan.method === "multipart";
      },
      getChunkSize: () => this.#partSize,
      signRequest: (request) => this.#answer(request),
    });
    this.#uppy.on("upload-progress", (file, progress) => {
      const running = file && this.#running.get(file.name);
      if (!running) return;
      running.movedAt = performance.now();
      running.transfer.progressed(progress.bytesUploaded);
    });
    this.#uppy.on("s3-multipart:part-uploaded", (file, part) => {
      this.#running.get(file.name)?.transfer.acknowledged(part.PartNumber, part.ETag);
    });
    this.#uppy.on("upload-success", (file) => file && this.#running.get(file.name)?.end());
    this.#uppy.on("upload-error", (file, failure) => file && this.#running.get(file.name)?.end(failure));
  }

  /** Sends a file. Returns when the store has all of it. Throws StoreRefusal, or what `sign` and `present` throw. */
  async send(transfer: Transfer): Promise<void> {
    const { key, file, type, plan } = transfer;
    await this.#resumed;
    let fileId = "";
    try {
      await new Promise<void>((resolve, reject) => {
        const end = (failure?: unknown): void => (failure === undefined ? resolve() : reject(refusal(failure)));
        const running = { transfer, fileId, movedAt: performance.now(), isSigning: false, end };
        this.#running.set(key, running);
        // Uppy makes its id of these; the key is unique, so two files of one name are two.
        fileId = running.fileId = this.#uppy.addFile({ name: key, type, data: file, meta: { relativePath: key } });
        if (plan.method === "multipart") {
          // The server has begun it: the plug-in asks for its parts, and does not create another.
          this.#uppy.setFileState(fileId, { s3Multipart: { uploadId: plan.id, key } });
        }
        this.#uppy.upload().catch(end);
      });
    } finally {
      this.#running.delete(key);
      if (fileId && this.#uppy.getFile(fileId)) this.#uppy.removeFile(fileId);
    }
  }

  /** Stops sending a file: its `send` throws. */
  cancel(key: string): void {
    this.#running.get(key)?.end(new DOMException("cancelled", "AbortError"));
  }

  pause(): void {
    this.#resumed ??= new Promise((resolve) => (this.#endPause = resolve));
    this.#uppy.pauseAll();
  }

  resume(): void {
    if (!this.#resumed) return;
    this.#resumed = undefined;
    this.#endPause();
    for (const running of this.#running.values()) running.movedAt = performance.now();
    this.#uppy.resumeAll();
  }

  close(): void {
    clearInterval(this.#watch);
    for (const key of [...this.#running.keys()]) this.cancel(key);
    this.#uppy.destroy();
  }

  // The plug-in sends S3's requests. Kappi signs its PUTs; the answers to the others are given here, as documents
  // that a `data:` URL holds.
  async #answer(request: { method: string; key: string; partNumber?: number }): Promise<Signed> {
    const running = this.#of(request.key);
    running.isSigning = true;
    try {
      if (request.method === "PUT") return await running.transfer.sign(request.partNumber ?? 0);
      if (request.method === "GET") return listed(await running.transfer.present());
      return completed(request.key); // completing and aborting are the caller's
    } finally {
      running.isSigning = false;
      running.movedAt = performance.now();
    }
  }

  #of(key: string): Running {
    const running = this.#running.get(key);
    if (!running) throw new DOMException("cancelled", "AbortError");
    return running;
  }

  // The plug-in waits for ever on a connection that is dead without being closed.
  #restartStalled(): void {
    if (this.#resumed) return;
    for (const running of this.#running.values()) {
      if (running.isSigning || performance.now() - running.movedAt < STALLED_MS) continue;
      running.movedAt = performance.now();
      this.#uppy.pauseResume(running.fileId);
      this.#uppy.pauseResume(running.fileId);
    }
  }
}

function listed(etags: Record<number, string>): Signed {
  const parts = Object.entries(etags).map(
    ([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag.replaceAll('"', "")}</ETag></Part>`,
  );
  return document(`<ListPartsResult>${parts.join("")}</ListPartsResult>`);
}

const completed = (key: string): Signed =>
  document(
    `<CompleteMultipartUploadResult><Location>${key}</Location><Key>${key}</Key></CompleteMultipartUploadResult>`,
  );

const document = (xml: string): Signed => ({
  url: `data:application/xml,${encodeURIComponent(xml)}`,
  headers: {},
});

function refusal(failure: unknown): unknown {
  if (!(failure instanceof Error)) return failure;
  if ("code" in failure && failure.code === "NETWORK") return new StoreRefusal(0, "offline");
  // The classes of the plug-in are not exported, and the names of classes change when they are built.
  if (!("serviceCode" in failure && "status" in failure)) return failure;
  return new StoreRefusal(Number(failure.status), String(failure.serviceCode ?? ""));
}
