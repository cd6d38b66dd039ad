/** Says which tab goes on with a gallery's uploads, so that no file is sent by two. */

/** Returns what releases the lock; undefined if another tab has it. */
export function lock(galleryId: string): Promise<(() => void) | undefined> {
  const locks = (navigator as { locks?: LockManager }).locks;
  if (!locks) return Promise.resolve(() => {}); // pages that did not come by HTTPS have none
  return new Promise((resolve, reject) => {
    const held = locks.request(`kappi-uploads-${galleryId}`, { ifAvailable: true }, (granted) =>
      granted ? new Promise<void>((release) => resolve(() => release())) : resolve(undefined),
    );
    held.catch(reject);
  });
}
