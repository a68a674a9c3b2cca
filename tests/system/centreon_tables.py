"""The tables of Centreon's configuration database that the agent reads or writes, with their real columns, and the rows of a small
installation: a central (1), a remote (2) with a poller behind it (3), a poller (4), an inactive one (5), and one with NULL wherever
that is allowed (6), which is behind the remote by rs_poller_relation as well."""

NAGIOS_SERVER = """
CREATE TABLE nagios_server (
  id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  {uid}
  name varchar(40) DEFAULT NULL,
  localhost enum('0','1') DEFAULT NULL,
  is_default int(11) DEFAULT '0',
  last_restart int(11) DEFAULT NULL,
  ns_ip_address varchar(255) DEFAULT NULL,
  ns_activate enum('1','0') DEFAULT '1',
  ns_status enum('0','1','2','3','4') DEFAULT '0',
  engine_start_command varchar(255) DEFAULT 'service centengine start',
  engine_stop_command varchar(255) DEFAULT 'service centengine stop',
  engine_restart_command varchar(255) DEFAULT 'service centengine restart',
  engine_reload_command varchar(255) DEFAULT 'service centengine reload',
  nagios_bin varchar(255) DEFAULT NULL,
  nagiostats_bin varchar(255) DEFAULT NULL,
  nagios_perfdata varchar(255) DEFAULT NULL,
  broker_reload_command varchar(255) DEFAULT 'service cbd reload',
  centreonbroker_cfg_path varchar(255) DEFAULT NULL,
  centreonbroker_module_path varchar(255) DEFAULT NULL,
  centreonconnector_path varchar(255) DEFAULT NULL,
  ssh_port int(11) DEFAULT NULL,
  gorgone_communication_type enum({types}) NOT NULL DEFAULT '1',
  gorgone_port int(11) DEFAULT NULL,
  init_script_centreontrapd varchar(255) DEFAULT NULL,
  snmp_trapd_path_conf varchar(255) DEFAULT NULL,
  engine_name varchar(255) DEFAULT NULL,
  engine_version varchar(255) DEFAULT NULL,
  centreonbroker_logs_path varchar(255) DEFAULT NULL,
  remote_id int(11) DEFAULT NULL,
  remote_server_use_as_proxy enum('0','1') NOT NULL DEFAULT '1',
  updated enum('1','0') NOT NULL DEFAULT '0',
  CONSTRAINT remote_id FOREIGN KEY (remote_id) REFERENCES nagios_server (id) ON DELETE SET NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3;
"""

OTHERS = """
CREATE TABLE cfg_nagios (
  nagios_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  nagios_name varchar(255) DEFAULT NULL,
  nagios_server_id int(11) DEFAULT NULL,
  nagios_activate enum('0','1') DEFAULT NULL,
  cfg_dir varchar(255) DEFAULT NULL,
  cfg_file varchar(255) NOT NULL DEFAULT 'centengine.cfg',
  command_file varchar(255) DEFAULT NULL,
  CONSTRAINT cfg_nagios_server FOREIGN KEY (nagios_server_id) REFERENCES nagios_server (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3;
CREATE TABLE rs_poller_relation (
  remote_server_id int(11) NOT NULL DEFAULT '0',
  poller_server_id int(11) NOT NULL DEFAULT '0',
  KEY remote_server_id (remote_server_id),
  KEY poller_server_id (poller_server_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3;
CREATE TABLE options (
  `key` varchar(255) DEFAULT NULL,
  value varchar(255) DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3;
CREATE TABLE cfg_centreonbroker (
  config_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  config_name varchar(100) NOT NULL,
  config_filename varchar(255) NOT NULL,
  config_activate enum('0','1') DEFAULT '0',
  ns_nagios_server int(11) NOT NULL,
  stats_activate enum('0','1') DEFAULT '1',
  cache_directory varchar(255) DEFAULT NULL,
  CONSTRAINT cfg_centreonbroker_server FOREIGN KEY (ns_nagios_server) REFERENCES nagios_server (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3;
CREATE TABLE task (
  id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  type enum('export','import') NOT NULL,
  status enum('pending','inprogress','completed','failed') NOT NULL,
  parent_id int(11) DEFAULT NULL,
  params blob DEFAULT NULL,
  created_at datetime NOT NULL,
  completed_at datetime DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3;
"""

ROWS = r"""
INSERT INTO nagios_server (id, name, localhost, is_default, ns_ip_address, ns_activate, nagios_bin, nagiostats_bin, nagios_perfdata,
    centreonbroker_cfg_path, centreonbroker_module_path, centreonconnector_path, ssh_port, gorgone_port, init_script_centreontrapd,
    snmp_trapd_path_conf, engine_name, engine_version, centreonbroker_logs_path, remote_id, remote_server_use_as_proxy)
  SELECT id, name, localhost, localhost, ip, active, '/usr/sbin/centengine', '/usr/bin/centenginestats',
    '/var/log/centreon-engine/service-perfdata', '/etc/centreon-broker', '/usr/share/centreon/lib/centreon-broker',
    '/usr/lib64/centreon-connector', 22, 5556, 'centreontrapd', '/etc/snmp/centreon_traps/', 'centreon-engine', '24.10.0',
    '/var/log/centreon-broker', remote, '1'
  FROM (SELECT 1 id, 'Central' name, '1' localhost, '127.0.0.1' ip, '1' active, NULL remote
    UNION SELECT 2, 'Remote-Süd', '0', '127.0.0.1', '1', NULL
    UNION SELECT 3, 'Poller behind the remote', '0', '127.0.0.1', '1', 2
    UNION SELECT 4, 'Poller', '0', '127.0.0.1', '1', NULL
    UNION SELECT 5, 'Poller out of use', '0', '127.0.0.1', '0', NULL) servers ORDER BY id;
INSERT INTO nagios_server (id, name, ns_activate, engine_start_command, engine_stop_command, engine_restart_command, engine_reload_command,
    broker_reload_command) VALUES (6, NULL, '1', NULL, NULL, NULL, NULL, NULL);
INSERT INTO cfg_nagios (nagios_name, nagios_server_id, nagios_activate, cfg_dir, command_file)
  SELECT CONCAT('Centreon Engine ', id), id, '1', '/etc/centreon-engine/', '/var/lib/centreon-engine/rw/centengine.cmd'
  FROM nagios_server WHERE id < 6;
INSERT INTO cfg_nagios (nagios_name, nagios_server_id, nagios_activate, cfg_dir, command_file)
  VALUES ('an old one', 4, '0', '/etc/old/', '/var/old.cmd'), (NULL, 6, '1', NULL, NULL);
INSERT INTO rs_poller_relation VALUES (2, 6);
INSERT INTO options VALUES ('debug_gorgone', '0'), ('gorgone_illegal_characters', '~!$%^&*"|\'<>?,()='), ('enable_broker_stats', '0');
INSERT INTO cfg_centreonbroker (config_name, config_filename, config_activate, ns_nagios_server, cache_directory)
  VALUES ('central-broker-master', 'central-broker.json', '1', 1, '/var/lib/centreon-broker'), ('poller-module', 'poller-module.json', '1', 4, NULL);
"""


def centreon_tables(form="26"):
    """SQL of an installation: form "22" has neither uid nor the types pull and pullwss, "26" has them."""
    if form not in ("22", "26"):
        raise ValueError(f'form {form!r} of the tables, expected "22" or "26"')
    newer = form == "26"
    table = NAGIOS_SERVER.format(uid="uid BIGINT UNSIGNED DEFAULT NULL," if newer else "", types="'1','2','3','4'" if newer else "'1','2'")
    return table + OTHERS + ROWS
