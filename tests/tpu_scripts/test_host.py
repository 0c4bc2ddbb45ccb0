"""What a host holds before a run starts there: a lock, and a disk."""

import subprocess

import pytest

from tests.tpu_scripts import cloud as cloud_lib
from tests.tpu_scripts import fake_gcloud
from tests.tpu_scripts.cloud import NAME


@pytest.mark.parametrize('held', ['', '12'])
def test_a_lock_of_libtpu_goes_unless_a_tpu_is_held(tmp_path, held):
  lock = tmp_path / 'lock'
  lock.touch()
  subprocess.run(
      ['bash', '-c', f'source "$1"; holders() {{ echo {held}; }};'
       'remove_stale_lock "$2"', '-', cloud_lib.SCRIPTS / 'on_host.sh', lock],
      check=True)
  assert lock.exists() == bool(held)


_DISKS = {
    'mountpoint': 'test -d /nowhere',
    'lsblk': 'case "$*" in *TYPE*) echo /dev/a disk; echo /dev/b disk;;'
             ' *MOUNT*/dev/a) echo /;; *MOUNT*) ;; *) echo one;; esac',
    'sudo': 'printf "%s\\n" "$*" >>"$HOME/sudo";'
             ' case $2 in blkid) exit BLKID;; cmp) shift 2; exec cmp'
            ' $(echo "$@" | sed "s#/dev/b#$HOME/disk#");; esac'}


@pytest.mark.parametrize('blkid, data, made, mounted', [
    (0, b'data', False, True), (2, b'', True, True),
    # Data that blkid does not know, or a disk that cannot be read.
    (2, b'data', False, False), (2, None, False, False)])
def test_a_disk_is_mounted_and_made_only_if_it_is_blank(
    cloud, blkid, data, made, mounted):
  cloud.change(hosts=1)
  for name, text in _DISKS.items():
    path = cloud.folder / 'host_bin' / name
    path.write_text(
        '#!/bin/sh\n' + text.replace('BLKID', str(blkid)) + '\n', 'utf-8')
    path.chmod(0o755)
  home = fake_gcloud.home_of(cloud.folder, NAME, 0)
  (home / 'mmal_tpu').mkdir(parents=True)
  if data is not None:
    with open(home / 'disk', 'wb') as file:
      file.truncate(65 << 20)
      file.seek(50 << 20)
      file.write(data)
  subprocess.run(
      ['bash', '-c', 'source "$1"; mount_disk runs',
       '-', cloud_lib.SCRIPTS / 'on_host.sh'], check=False,
      env={'HOME': str(home),
           'PATH': f'{cloud.folder}/host_bin:/usr/bin:/bin'})
  done = (home / 'sudo').read_text('utf-8').splitlines()
  assert done[0] == '-n blkid --probe /dev/b'
  assert ('-n mkfs.ext4 -q -m 0 /dev/b' in done) == made
  assert ('-n mount -o discard,defaults /dev/b /mnt/disks/runs' in done
          ) == mounted
  # What a host made before, on which I had another number, is mine.
  assert any('chown -R' in line for line in done) == mounted
