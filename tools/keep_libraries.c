/* Preloaded by tools/test under AddressSanitizer: libraries stay loaded until the process ends.
 *
 * The Vulkan loader unloads a driver when the instance is gone. What the driver still holds then (caches meant to live
 * as long as the process) counts as leaked, with a stack that names no library, so that no suppression can match it.
 * While the driver is loaded, its own variables still reach that memory, and what is reported is truly lost.
 */
int dlclose(void *library);

int dlclose(void *library)
{
    (void)library;
    return 0;
}
