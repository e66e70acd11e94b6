import { RedisStore } from 'connect-redis'
import { createClient } from 'redis'
import type { Contender, ContenderSetup } from '../harness/contender.ts'
import { type ExpressStore, expressStore } from './express-store.ts'

/** One connection, over which the client pipelines: how it is used everywhere. */
export async function openConnectRedis({ location }: ContenderSetup): Promise<Contender> {
  const client = createClient({ url: location })
  await client.connect()
  // Its types ask for express-session's whole Session; what it reads of one is the cookie.
  const store = new RedisStore({ client }) as unknown as ExpressStore
  return expressStore(store, () => client.close())
}
