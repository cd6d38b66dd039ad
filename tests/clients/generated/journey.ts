// Uploads a picture and views it by the types that were generated. Arguments: the address, the picture.
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import createClient from 'openapi-fetch'
import type { components, paths } from './kappi'

const [baseUrl, picture] = process.argv.slice(2) as [string, string]
const content = await readFile(picture)
const client = createClient<paths>({ baseUrl })

const check = (holds: boolean, what: string) => {
  if (!holds) throw new Error(what)
}

const created = await client.POST('/v1/galleries', { body: { title: 'TypeScript' } })
const gallery = created.data!
console.log('made', gallery.id, gallery.access_key)
const headers = { 'X-Gallery-Key': gallery.access_key! }
const path = { id: gallery.id }
const file = { filename: basename(picture), size: content.length, content_type: 'image/jpeg' }
const signed = await client.POST('/v1/galleries/{id}/uploads', {
  params: { path },
  body: { files: [file] },
  headers,
})
const [upload] = signed.data!.uploads
const single = upload!.single!
const put = await fetch(single.url, { method: single.http_method, headers: single.headers, body: content })
check(put.status === 200, 'PUT')
await client.POST('/v1/uploads/{id}/complete', { params: { path: { id: upload!.id } }, headers })

let item: components['schemas']['Item'] | undefined
for (let tries = 0; tries < 300 && !item?.original; tries += 1) {
  await new Promise((resolve) => setTimeout(resolve, 100))
  const page = await client.GET('/v1/g/{code}', {
    params: { path: { code: gallery.code! }, query: { limit: 10 } },
  })
  item = page.data?.items[0]
}
check(item?.status === 'ready', 'ready')
const seen = Buffer.from(await (await fetch(item!.original!.url)).arrayBuffer())
check(seen.equals(content), 'the original')

const refused = await client.POST('/v1/galleries/{id}/uploads', {
  params: { path },
  body: { files: [{ ...file, size: 5_368_709_121 }] },
  headers,
})
const code: components['schemas']['SignUploadsProblemCode'] = 'file_too_large'
check(refused.error?.code === code, 'its code')
check(refused.error?.errors?.[0]?.field === 'files.0.size', 'the field')
console.log('shown', item!.filename, item!.size)
